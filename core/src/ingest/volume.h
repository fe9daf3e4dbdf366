#pragma once
// read_volume() with what a report wants to know.

#include "ingest/ingest.h"

namespace ivory::ingest {

struct ReadVolume {
  data::VolumeData volume;
  std::vector<std::string> warnings;
  int64_t bytes = 0;  // of the files read
};

ReadVolume read_with_warnings(const config::VolumeSource& source, const config::DataSpec& spec);

// XXH3-128 over the files' bytes, in order.
std::string hash_of_files(const std::vector<std::filesystem::path>& files);

}  // namespace ivory::ingest
