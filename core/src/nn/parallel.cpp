#include "nn/parallel.h"

// GCC's OpenMP runtime, which the LibTorch wheel ships: what `#pragma omp parallel` of GCC compiles to.
extern "C" void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);
extern "C" int omp_get_thread_num();
extern "C" int omp_get_num_threads();

namespace ivory::nn {
namespace {

struct Job {
  int64_t parts;
  const std::function<void(int64_t)>& body;
};

// A team may have fewer threads than asked for, e.g. within another parallel region.
void run_share(void* data) {
  const Job& job = *static_cast<const Job*>(data);
  for (int64_t part = omp_get_thread_num(); part < job.parts; part += omp_get_num_threads()) job.body(part);
}

}  // namespace

void parallel(int64_t parts, const std::function<void(int64_t)>& body) {
  if (parts == 1) return body(0);
  Job job{parts, body};
  GOMP_parallel(run_share, &job, static_cast<unsigned>(parts), 0);
}

}  // namespace ivory::nn
