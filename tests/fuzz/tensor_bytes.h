#pragma once
#include <cstddef>
#include <cstdint>

#include "weights/safetensors.h"

namespace ivory::fuzz {

// How many bytes the tensors' values span. All of them are read, so that one outside of its storage is seen.
inline size_t bytes_of(const train::NamedTensors& tensors) {
  size_t bytes = 0;
  for (const auto& [name, tensor] : tensors) {
    if (tensor.numel() == 0) continue;
    int64_t extent = 1;
    for (int64_t i = 0; i < tensor.dim(); ++i) extent += (tensor.size(i) - 1) * tensor.stride(i);
    const auto* at = static_cast<const uint8_t*>(tensor.const_data_ptr());
    const size_t span = static_cast<size_t>(extent) * tensor.itemsize();
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < span; ++i) sum = static_cast<uint8_t>(sum + at[i]);
    bytes += span;
  }
  return bytes;
}

}  // namespace ivory::fuzz
