// The safetensors reader: any bytes are read or refused; tensors hold no more than the file has.
#include <ivory/error.h>

#include <cstdlib>

#include "fuzz/memory_file.h"
#include "fuzz/tensor_bytes.h"
#include "weights/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ivory::fuzz::MemoryFile file(data, size);
  try {
    if (ivory::fuzz::bytes_of(ivory::train::load_safetensors(file.path()).tensors) > size) std::abort();
  } catch (const ivory::Error&) {  // refused
  }
  return 0;
}
