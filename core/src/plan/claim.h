#pragma once
// The process that runs a part holds its folder.

#include <optional>

#include "base/lock.h"
#include "plan/plan.h"
#include "plan/store.h"

namespace ivory::experiment {

// Holds the part's folder for this process; empty when another process has finished the part. While another process
// has the folder it waits, and says so once. Throws train::Interrupted when this process is to stop.
std::optional<base::FolderLock> claim(const Part& part, const Store& store);

}  // namespace ivory::experiment
