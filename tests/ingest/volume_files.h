#pragma once
// Writers of small NIfTI, MetaImage and NRRD files, and of their mistakes. Voxels are [k, j, i] in the file's own axes,
// or [channel, k, j, i]; geometry is in the RAS frame (ingest/scan.h).

#include <ivory/torch.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "data/cache_fixtures.h"
#include "ingest/geometry.h"

namespace ivory::ingest::testing {

using data::testing::failure_of;
using data::testing::TemporaryFolder;

inline void write_bytes(const std::filesystem::path& file, const std::string& bytes) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << bytes;
}

inline std::string raw_bytes(const torch::Tensor& voxels) {
  const torch::Tensor whole = voxels.contiguous();
  return {static_cast<const char*>(whole.const_data_ptr()), whole.nbytes()};
}

struct NiftiOptions {
  float slope = 0, intercept = 0;
  bool big_endian = false;
  int16_t qform = 0, sform = 1;
  std::array<float, 3> quaternion = {0, 0, 0};  // b, c, d
  float qfac = 1;
  int16_t fourth = 0;  // length of a fourth dimension
  int8_t units = 2;    // mm
};

inline int16_t nifti_code(c10::ScalarType type) {
  const std::map<c10::ScalarType, int16_t> codes = {
      {torch::kUInt8, 2},  {torch::kInt16, 4},    {torch::kInt32, 8},    {torch::kFloat32, 16}, {torch::kFloat64, 64},
      {torch::kInt8, 256}, {torch::kUInt16, 512}, {torch::kUInt32, 768}, {torch::kInt64, 1024}, {torch::kUInt64, 1280}};
  return codes.at(type);
}

inline std::string nifti_bytes(const torch::Tensor& voxels, const Geometry& geometry,
                               const NiftiOptions& options = {}) {
  std::string bytes(352, '\0');
  const auto put = [&]<class T>(size_t offset, T value) {
    std::string part(reinterpret_cast<const char*>(&value), sizeof(T));
    if (options.big_endian) std::reverse(part.begin(), part.end());
    bytes.replace(offset, sizeof(T), part);
  };
  put(0, int32_t{348});
  const auto fourth = voxels.dim() == 4 ? static_cast<int16_t>(voxels.size(0)) : options.fourth;
  put(40, static_cast<int16_t>(fourth > 0 ? 4 : 3));
  for (size_t i = 0; i < 3; ++i) {
    put(42 + 2 * i, static_cast<int16_t>(voxels.size(-1 - static_cast<int64_t>(i))));
    put(80 + 4 * i, static_cast<float>(geometry.spacing[i]));
    put(268 + 4 * i, static_cast<float>(geometry.origin[i]));
    put(256 + 4 * i, options.quaternion[i]);
    for (size_t axis = 0; axis < 3; ++axis)
      put(280 + 16 * i + 4 * axis, static_cast<float>(geometry.direction[i * 3 + axis] * geometry.spacing[axis]));
    put(280 + 16 * i + 12, static_cast<float>(geometry.origin[i]));
  }
  put(48, std::max<int16_t>(1, fourth));
  put(70, nifti_code(voxels.scalar_type()));
  put(72, static_cast<int16_t>(8 * voxels.element_size()));
  put(76, options.qfac);
  put(108, 352.0F);
  put(112, options.slope);
  put(116, options.intercept);
  put(123, options.units);
  put(252, options.qform);
  put(254, options.sform);
  bytes.replace(344, 4, std::string("n+1\0", 4));
  std::string data = raw_bytes(voxels);
  if (options.big_endian)
    for (size_t i = 0; i < data.size(); i += voxels.element_size())
      std::reverse(data.begin() + static_cast<std::ptrdiff_t>(i),
                   data.begin() + static_cast<std::ptrdiff_t>(i + voxels.element_size()));
  return bytes + data;
}

inline void write_nifti(const std::filesystem::path& file, const torch::Tensor& voxels, const Geometry& geometry = {},
                        const NiftiOptions& options = {}) {
  write_bytes(file, nifti_bytes(voxels, geometry, options));
}

// "1 2 3 …" of the geometry in the frame of ITK (x to the left, y to posterior), axis after axis.
inline std::string axes_text(const Geometry& geometry, bool with_spacing, const char* open, const char* close) {
  std::ostringstream text;
  text.precision(17);
  for (size_t axis = 0; axis < 3; ++axis) {
    text << open;
    for (size_t i = 0; i < 3; ++i)
      text << (i == 0   ? ""
               : *close ? ","
                        : " ")
           << geometry.direction[i * 3 + axis] * (i < 2 ? -1 : 1) * (with_spacing ? geometry.spacing[axis] : 1);
    text << close << " ";
  }
  return text.str();
}

// int16 voxels.
inline void write_meta(const std::filesystem::path& file, const torch::Tensor& voxels, const Geometry& geometry = {},
                       const std::string& data_file = "LOCAL") {
  std::ostringstream text;
  text.precision(17);
  const auto &o = geometry.origin, &s = geometry.spacing;
  text << "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
       << "TransformMatrix = " << axes_text(geometry, false, "", "") << "\nOffset = " << -o[0] << " " << -o[1] << " "
       << o[2] << "\nElementSpacing = " << s[0] << " " << s[1] << " " << s[2] << "\nDimSize = " << voxels.size(2) << " "
       << voxels.size(1) << " " << voxels.size(0) << "\nElementType = MET_SHORT\nElementDataFile = " << data_file
       << "\n";
  write_bytes(file, data_file == "LOCAL" ? text.str() + raw_bytes(voxels) : text.str());
}

// int16 voxels.
inline void write_nrrd(const std::filesystem::path& file, const torch::Tensor& voxels, const Geometry& geometry = {}) {
  std::ostringstream text;
  text.precision(17);
  const auto& o = geometry.origin;
  text << "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: " << voxels.size(2) << " "
       << voxels.size(1) << " " << voxels.size(0) << "\nspace directions: " << axes_text(geometry, true, "(", ")")
       << "\nkinds: domain domain domain\nendian: little\nencoding: raw\nspace origin: (" << -o[0] << "," << -o[1]
       << "," << o[2] << ")\n\n";
  write_bytes(file, text.str() + raw_bytes(voxels));
}

// 0, 1, 2, … in int16.
inline torch::Tensor counted(torch::IntArrayRef shape) {
  return torch::arange(c10::multiply_integers(shape), torch::kInt16).view(shape);
}

}  // namespace ivory::ingest::testing
