// The safetensors reader: any bytes are read or refused; tensors hold no more than the file has.
#include <ivory/error.h>

#include <cstdlib>

#include "fuzz/memory_file.h"
#include "train/safetensors.h"

namespace {

// Every value of every tensor, so that one outside of its storage is seen.
size_t bytes_of(const ivory::train::TensorFile& file) {
  size_t bytes = 0;
  for (const auto& [name, tensor] : file.tensors) {
    const auto* at = static_cast<const uint8_t*>(tensor.const_data_ptr());
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < tensor.nbytes(); ++i) sum = static_cast<uint8_t>(sum + at[i]);
    bytes += tensor.nbytes();
  }
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ivory::fuzz::MemoryFile file(data, size);
  try {
    if (bytes_of(ivory::train::load_safetensors(file.path())) > size) std::abort();
  } catch (const ivory::Error&) {  // refused
  }
  return 0;
}
