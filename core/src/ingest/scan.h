#pragma once
// A volume as its file holds it, before anything is changed.

#include <ivory/torch.h>

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace ivory::ingest {

using Vector3 = std::array<double, 3>;
using Matrix3 = std::array<double, 9>;  // row-major

// Where voxels lie in the patient: axes are the array's, from the fastest to the slowest (columns, rows, slices of the
// file); positions are millimetres in the RAS frame (x to the patient's right, y to anterior, z to superior; NIfTI's).
struct Geometry {
  Vector3 spacing = {1, 1, 1};                        // mm along each axis
  Vector3 origin = {0, 0, 0};                         // of voxel (0, 0, 0)
  Matrix3 direction = {-1, 0, 0, 0, -1, 0, 0, 0, 1};  // column a: unit vector along which axis a runs
};

struct Scan {
  torch::Tensor voxels;  // [slices, rows, columns], the file's type
  Geometry geometry;
  std::string modality;                          // what the file says: "ct", "mr", "xray", or empty
  std::vector<std::filesystem::path> files;      // what was read
  std::vector<std::filesystem::path> also_read;  // and need not be hashed
  std::vector<std::string> notes;                // what was changed
  std::vector<std::string> warnings;             // what its owner should know
};

// The purpose of reading a file. Labels are ids, not pictures: of a palette the index counts, and neither colours nor
// lossy compression are taken.
enum class Use { image, labels };

// A file of any format (format.h) or the folder of a DICOM series; of a 4-D NIfTI file the `channel` of its fourth
// dimension, from 0, without which it is refused. Throws bad_request (missing_data when there is no such path) with one
// sentence; never reads past a damaged header's real data.
Scan read_scan(const std::filesystem::path& path, Use use = Use::image, std::optional<int64_t> channel = {});

// Throws bad_request when voxels of so many bytes cannot be in scan.files, or in this machine's memory: a damaged
// header may announce any size. To be called before memory is taken for them. `file` begins the sentence. `stored`:
// what the file holds of them before it is unpacked (bits become bytes, indices colours), 0 where its compression
// knows no limit.
void check_announced_size(double bytes, const Scan& scan, const std::filesystem::path& file,
                          std::optional<double> stored = {});

// The readers behind it.
Scan read_nifti(const std::filesystem::path& file, std::optional<int64_t> channel = {});
Scan read_meta_image(const std::filesystem::path& file);
Scan read_nrrd(const std::filesystem::path& file);
Scan read_dicom(const std::filesystem::path& file, Use use);
Scan read_dicom_series(const std::filesystem::path& folder, Use use);

}  // namespace ivory::ingest
