#pragma once
// Loops over the threads that LibTorch's CPU operators run on. at::parallel_for is a header that needs the compiler's
// OpenMP: clang's would bring a second runtime, with a second pool of threads that spin beside the first.

#include <cstdint>
#include <functional>

namespace ivory::nn {

// body(part) for part 0 … parts - 1, each on a thread of its own; returns when all are done. `body` must not throw.
void parallel(int64_t parts, const std::function<void(int64_t)>& body);

}  // namespace ivory::nn
