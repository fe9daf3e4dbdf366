// The pickle reader: any bytes are read or refused.
#include <ivory/error.h>

#include <cstddef>

#include "weights/pickle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    ivory::train::parse_pickle({reinterpret_cast<const char*>(data), size}, "");
  } catch (const ivory::Error&) {  // refused
  }
  return 0;
}
