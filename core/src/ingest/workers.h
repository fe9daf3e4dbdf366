#pragma once
// How many volumes a build reads at a time.

#include <cstdint>
#include <functional>

namespace ivory::ingest {

// One a core that this process may use, 16 at most, and as many as leave 2 GiB of the machine's available memory each.
int64_t default_workers();

// Calls work(0) … work(count - 1) in so many threads, in this order of beginning; each thread's tensor operations run
// in it alone, so that sums come in one order whatever the number of threads. work() returns false to begin no further
// ones. Of several errors the first item's is thrown, after all threads have ended.
void for_each_in_order(int64_t count, int64_t workers, const std::function<bool(int64_t)>& work);

}  // namespace ivory::ingest
