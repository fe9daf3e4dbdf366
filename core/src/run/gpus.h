#pragma once
// The GPUs of this machine, counted without CUDA.

#include <cstddef>
#include <string>

namespace ivory::experiment {

// The GPU that CUDA_VISIBLE_DEVICES gives to the process in this slot, of those that `visible` (the variable's value)
// or else the machine has; empty without GPUs.
std::string gpu_of(size_t slot, const char* visible, size_t on_machine);
size_t gpus_on_machine();

}  // namespace ivory::experiment
