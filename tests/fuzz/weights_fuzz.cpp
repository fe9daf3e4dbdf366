// Weights files of every format: any bytes are read or refused.
#include <ivory/error.h>

#include "fuzz/memory_file.h"
#include "train/weights_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ivory::fuzz::MemoryFile file(data, size);
  try {
    ivory::train::load_weights_file(file.path());
  } catch (const ivory::Error&) {  // refused
  }
  return 0;
}
