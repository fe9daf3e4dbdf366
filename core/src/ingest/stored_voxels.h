#pragma once
// Voxels as a text header (MetaImage, NRRD) says that they are stored, in the header's own file or in others.

#include <ivory/torch.h>

#include <optional>
#include <string>
#include <vector>

#include "ingest/scan.h"

namespace ivory::ingest {

struct StoredVoxels {
  enum class Form { raw, text, hex, deflate, bzip2 };
  torch::ScalarType type = torch::kUInt8;
  std::vector<int64_t> size;  // voxels along each axis, the fastest first
  Form form = Form::raw;
  bool big_endian = false;
  std::vector<std::filesystem::path> files;  // hold equal shares, in this order
  int64_t begin = 0;                         // first byte behind an attached header
  int64_t skip_lines = 0;                    // lines before the voxels, or before their compressed stream
  int64_t skip_bytes = 0;                    // bytes before them, once unpacked; -1: the voxels end the file
};

// Adds the files to scan.files and reads them: [slowest axis, …, fastest axis]. Throws bad_request unless every file
// holds its share and nothing else (a warning where the header skips a part of a file: another part may follow).
torch::Tensor read_stored(const StoredVoxels& stored, const std::string& header, Scan& scan);

// Files named by a header: "NAME", relative to the header's folder, with either kind of slash. Throws missing_data when
// it is not there.
std::filesystem::path data_file(const std::filesystem::path& header, const std::string& name);

// "slice%03d.raw" with the numbers first, first + step, … up to last. Throws bad_request unless the pattern has exactly
// one %d, and where it would name more than a million files.
std::vector<std::string> numbered_names(const std::string& pattern, int64_t first, int64_t last, int64_t step,
                                        const std::string& header);

}  // namespace ivory::ingest
