#pragma once
// read_volume() with what a report wants to know.

#include "ingest/ingest.h"

namespace ivory::ingest {

struct ReadVolume {
  data::VolumeData volume;
  std::vector<std::string> warnings;
  int64_t bytes = 0;                             // of the files read
  std::vector<std::filesystem::path> files;      // whose hash the volume has, in this order
  std::vector<std::filesystem::path> also_read;  // whose it has not
};

ReadVolume read_with_warnings(const config::VolumeSource& source, const config::DataSpec& spec);

}  // namespace ivory::ingest
