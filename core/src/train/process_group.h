#pragma once
// The processes of a data-parallel stage, over LibTorch's c10d (Gloo on the CPU).

#include <ivory/collective.h>

#include <memory>

#include "train/launch.h"

namespace ivory::train {

// Meets the other processes; blocks until all are there. Throws run_failed, naming host and port, when they do not come
// within the time limit. Of every collective all processes must make the same calls in the same order.
std::unique_ptr<Collective> join(const Launch& launch);

}  // namespace ivory::train
