// Weights files of every format: any bytes are read or refused.
#include <ivory/error.h>
#include <sys/mman.h>
#include <unistd.h>

#include "train/weights_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int file = memfd_create("weights", 0);
  if (file < 0 || write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
  try {
    ivory::train::load_weights_file("/proc/self/fd/" + std::to_string(file));
  } catch (const ivory::Error&) {  // refused
  }
  close(file);
  return 0;
}
