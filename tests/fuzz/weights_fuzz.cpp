// Weights files of every format: any bytes are read or refused; tensors lie within what the file has.
#include <ivory/error.h>

#include "fuzz/memory_file.h"
#include "fuzz/tensor_bytes.h"
#include "weights/weights_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ivory::fuzz::MemoryFile file(data, size);
  try {
    ivory::fuzz::bytes_of(ivory::train::load_weights_file(file.path()).content.tensors);
  } catch (const ivory::Error&) {  // refused
  }
  return 0;
}
