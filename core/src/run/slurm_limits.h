#pragma once
// How many elements an array job may have on this cluster.

#include <cstddef>
#include <string>

namespace ivory::experiment {

// Of what `scontrol show config` says: MaxArraySize, or max_array_tasks of SchedulerParameters where that is less;
// never more than 1,000, and 1,000 where neither is said. Throws bad_request on a cluster that has no arrays.
size_t largest_array(const std::string& configuration);

}  // namespace ivory::experiment
