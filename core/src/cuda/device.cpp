// Loaded when a CUDA device is asked for: brings libtorch_cuda into the process and says what is there.
#include <c10/cuda/CUDAFunctions.h>

extern "C" int ivory_cuda_device_count() {
  return c10::cuda::device_count();
}
