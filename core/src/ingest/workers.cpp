#include "ingest/workers.h"

#include <ATen/Parallel.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <fstream>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace ivory::ingest {
namespace {

constexpr int64_t most_workers = 16;
constexpr int64_t kib_each = int64_t{2} << 20;

int64_t usable_cores() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int64_t>(std::thread::hardware_concurrency());
}

// Of the machine; a great number where it does not tell.
int64_t available_kib() {
  std::ifstream in("/proc/meminfo");
  std::string word;
  int64_t kib = 0;
  while (in >> word) {
    if (word == "MemAvailable:" && in >> kib) return kib;
  }
  return std::numeric_limits<int64_t>::max();
}

// The number of threads of tensor operations, put back at the end.
class OneThreadEach {
 public:
  ~OneThreadEach() { at::set_num_threads(before_); }

 private:
  int before_ = at::get_num_threads();
};

}  // namespace

int64_t default_workers() {
  return std::clamp<int64_t>(std::min(usable_cores(), available_kib() / kib_each), 1, most_workers);
}

void for_each_in_order(int64_t count, int64_t workers, const std::function<bool(int64_t)>& work) {
  const OneThreadEach restored;
  std::atomic<int64_t> next = 0;
  std::mutex mutex;
  int64_t failed = count;
  std::exception_ptr error;
  const auto run = [&] {
    at::set_num_threads(1);
    for (int64_t item = next++; item < count; item = next++) {
      try {
        if (!work(item)) next = count;
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (item < failed) failed = item, error = std::current_exception();
        next = count;
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int64_t i = 0; i < std::clamp<int64_t>(workers, 1, std::max<int64_t>(count, 1)); ++i)
      threads.emplace_back(run);
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace ivory::ingest
