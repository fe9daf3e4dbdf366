#pragma once
#include <ivory/torch.h>

#include <string>

namespace ivory::experiment {

// "auto", "cpu" or "cuda" → the device to train on. "auto" takes a GPU when the CUDA library is there and finds one.
// libtorch_cuda is brought into the process only when a GPU is wanted; call it before any other use of torch.
// `number`: of the GPU, one per process. Throws bad_request when "cuda" is asked for and there is none.
torch::Device choose_device(const std::string& wanted, int64_t number = 0);

}  // namespace ivory::experiment
