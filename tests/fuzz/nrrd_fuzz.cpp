// The NRRD reader: any bytes are a volume or refused.
#include <ivory/error.h>

#include "fuzz/memory_file.h"
#include "ingest/scan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ivory::fuzz::MemoryFile file(data, size);
  try {
    ivory::ingest::read_nrrd(file.path());
  } catch (const ivory::Error&) {  // refused
  }
  return 0;
}
