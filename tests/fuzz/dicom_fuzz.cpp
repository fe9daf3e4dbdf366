// All that this process reads of DICOM: the walk over a file's elements before GDCM sees it, its first group, and the
// answers of the process that GDCM runs in, whatever that says.
#include <ivory/error.h>

#include "fuzz/memory_file.h"
#include "ingest/dicom_classes.h"
#include "ingest/dicom_length.h"
#include "ingest/dicom_message.h"
#include "ingest/dicom_stack.h"

namespace {

using namespace ivory::ingest;

template <class Body>
void read_or_refuse(const Body& body) {
  try {
    body();
  } catch (const ivory::Error&) {  // refused
  }
}

// Headers that may say anything are a stack or refused, and no_image_of_class() has an answer.
void decide(const std::string& bytes) {
  Message message(bytes);
  std::vector<DicomSource> sources;
  for (int i = 0; i < 3; ++i) {
    sources.push_back({"file", header_from(message)});
    if (sources.back().header.frames.empty()) return;
  }
  std::vector<std::string> warnings;
  const DicomStack stack = stack_of(sources, "folder");
  if (stack.slices.size() > 1 && stack.slices.back().position > stack.slices.front().position)
    geometry_of(stack, sources, "folder", warnings);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ivory::fuzz::MemoryFile file(data, size);
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  read_or_refuse([&] { check_dicom_start(file.path()); });
  read_or_refuse([&] { check_dicom_pixels(file.path()); });
  read_or_refuse([&] { no_image_of_class(class_in_first_group(file.path())); });
  read_or_refuse([&] { decide(bytes); });
  read_or_refuse([&] {
    Message message(bytes);
    pixels_from(message);
    message.end();
  });
  return 0;
}
