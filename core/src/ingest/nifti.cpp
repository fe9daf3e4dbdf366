// NIfTI-1 (.nii, .nii.gz): length and gzip checksum are checked, axes are left to make_orthonormal(). Whole files are
// inflated at once; what that does not take (padding, several members, damage) is read as a stream.
#include <fmt/format.h>
#include <ivory/error.h>
#include <zlib.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>

#include "ingest/geometry.h"
#include "ingest/gzip_file.h"
#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

// A plain or gzip file, read forwards. Sentences name the file.
class Stream {
 public:
  explicit Stream(const fs::path& file) : file_(file), in_(gzopen(file.c_str(), "rb"), gzclose) {
    IVORY_CHECK(in_, file.string(), ": cannot be opened: ", std::strerror(errno));
    gzbuffer(in_.get(), 1 << 18);
  }

  // Bytes read: fewer than asked for at the end of the file. Throws when the compressed stream is damaged.
  int64_t read(void* to, int64_t bytes) {
    int64_t done = 0;
    while (done < bytes) {
      const auto part = static_cast<unsigned>(std::min<int64_t>(bytes - done, 1 << 28));
      const int got = gzread(in_.get(), static_cast<char*>(to) + done, part);
      check();
      if (got <= 0) break;
      done += got;
    }
    return done;
  }

  // Over so many bytes, or to the end of the file.
  void skip(int64_t bytes) {
    std::array<char, 1 << 16> passed;
    const int64_t most = static_cast<int64_t>(passed.size());
    while (bytes > 0 && read(passed.data(), std::min(bytes, most)) > 0) bytes -= most;
  }

  // To the end, which verifies the checksum. A little padding behind the voxels is usual.
  void finish() {
    std::array<char, 1 << 16> rest;
    for (int i = 0; i < 64; ++i) {
      if (read(rest.data(), rest.size()) == 0) return;
    }
    throw bad_request(file_.string(), ": goes on long after the voxels that its header announces");
  }

 private:
  void check() {
    int code = Z_OK;
    const char* text = gzerror(in_.get(), &code);
    if (code == Z_OK || code == Z_STREAM_END) return;
    IVORY_CHECK(code != Z_BUF_ERROR, file_.string(), ": is truncated, the compressed stream ends early");
    throw bad_request(file_.string(), ": the compressed stream is damaged (", text, ")");
  }

  fs::path file_;
  std::unique_ptr<gzFile_s, decltype(&gzclose)> in_;
};

class Header {
 public:
  Header(Stream& stream, const fs::path& file) : name_(file.string()) {
    const int64_t got = stream.read(bytes_.data(), size);
    IVORY_CHECK(got == size, name_, ": is truncated, it has ", got, " bytes of a NIfTI header's 348");
    swapped_ = raw<int32_t>(0) == 0x5C010000;  // 348 in the other byte order
    IVORY_CHECK(get<int32_t>(0) == size && std::memcmp(&bytes_[344], "n+1", 4) == 0, name_,
                ": is no single-file NIfTI-1 (.nii, .nii.gz); save it as one");
  }

  template <class T>
  T get(size_t offset) const {
    T value = raw<T>(offset);
    if (swapped_) std::reverse(reinterpret_cast<char*>(&value), reinterpret_cast<char*>(&value) + sizeof(T));
    return value;
  }

  bool swapped() const { return swapped_; }
  const std::string& name() const { return name_; }
  static constexpr int64_t size = 348;

 private:
  template <class T>
  T raw(size_t offset) const {
    T value;
    std::memcpy(&value, &bytes_[offset], sizeof(T));
    return value;
  }

  std::string name_;
  std::array<char, size> bytes_{};
  bool swapped_ = false;
};

torch::ScalarType type_of(const Header& header) {
  const auto code = header.get<int16_t>(70);
  switch (code) {
    case 2:
      return torch::kUInt8;
    case 4:
      return torch::kInt16;
    case 8:
      return torch::kInt32;
    case 16:
      return torch::kFloat32;
    case 64:
      return torch::kFloat64;
    case 256:
      return torch::kInt8;
    case 512:
      return torch::kUInt16;
    case 768:
      return torch::kUInt32;
    case 1024:
      return torch::kInt64;
    case 1280:
      return torch::kUInt64;
    default:
      throw bad_request(header.name(), ": NIfTI data type ", code, " is not read, only integers and reals are");
  }
}

// Columns, rows, slices, channels.
std::array<int64_t, 4> dimensions(const Header& header) {
  const auto count = header.get<int16_t>(40);
  IVORY_CHECK(count >= 2 && count <= 7, header.name(), ": the header says ", count, " dimensions, expected 2 or 3");
  std::array<int64_t, 4> size = {1, 1, 1, 1};
  for (int i = 1; i <= count; ++i) {
    const auto length = header.get<int16_t>(40 + 2 * static_cast<size_t>(i));
    IVORY_CHECK(length > 0, header.name(), ": dimension ", i, " is ", length, " voxels long");
    if (i <= 4) size[static_cast<size_t>(i - 1)] = length;
    IVORY_CHECK(i <= 4 || length == 1, header.name(), ": has ", count, " dimensions, the ", i, "th of length ", length,
                "; split it into one file per volume");
  }
  return size;
}

void check_channel(std::optional<int64_t> channel, int64_t channels, const std::string& name) {
  IVORY_CHECK(channel || channels == 1, name, ": has 4 dimensions, the 4th of length ", channels,
              "; split it into one file per volume, or list it with the 'channel' to read");
  IVORY_CHECK(channel.value_or(0) < channels, name, ": has ", channels, channels == 1 ? " channel" : " channels",
              ", number ", *channel, " was asked for (counted from 0)");
}

// Of a compressed file as a whole; where that cannot be, the stream tells why.
std::optional<torch::Tensor> whole_voxels(const fs::path& file, int64_t offset, int64_t bytes, torch::ScalarType type) {
  if (offset % static_cast<int64_t>(c10::elementSize(type)) != 0) return std::nullopt;
  const auto inflated = inflate_file(file, offset + bytes);
  if (!inflated) return std::nullopt;
  return inflated->narrow(0, offset, bytes).view(type);
}

// [channels, slices, rows, columns]
torch::Tensor read_voxels(Stream& stream, const Header& header, const Scan& scan, const std::array<int64_t, 4>& size) {
  const auto type = type_of(header);
  const std::array<int64_t, 4> shape = {size[3], size[2], size[1], size[0]};
  const auto bytes = size[0] * size[1] * size[2] * size[3] * static_cast<int64_t>(c10::elementSize(type));
  const auto offset = static_cast<double>(header.get<float>(108));
  IVORY_CHECK(offset >= Header::size && offset < 1 << 28, header.name(), ": the voxels begin at byte ", offset,
              " according to the header, expected 352 or more");
  check_announced_size(static_cast<double>(bytes), scan, header.name());
  if (auto whole = whole_voxels(scan.files.front(), static_cast<int64_t>(offset), bytes, type)) {
    if (header.swapped()) swap_bytes(*whole);
    return whole->view(shape);
  }
  stream.skip(static_cast<int64_t>(offset) - Header::size);
  torch::Tensor voxels = torch::empty(shape, type);
  const int64_t got = stream.read(voxels.mutable_data_ptr(), bytes);
  IVORY_CHECK(got == bytes, header.name(), ": is truncated, the header announces ", bytes,
              " bytes of voxels and the file has ", got);
  stream.finish();
  if (header.swapped()) swap_bytes(voxels);
  return voxels;
}

// The standard says that a slope of 0 scales nothing; nor does one that is no number.
torch::Tensor with_intensities(const torch::Tensor& voxels, const Header& header, Scan& scan) {
  const double slope = header.get<float>(112), intercept = header.get<float>(116);
  if (!std::isfinite(slope) || slope == 0) return voxels;
  IVORY_CHECK(std::isfinite(intercept), header.name(), ": the header's slope is ", slope, " and its intercept ",
              intercept);
  return rescaled(voxels, slope, intercept, scan.notes);
}

// Columns of a 3 × 3 matrix → unit vectors and their lengths.
Geometry from_affine(const std::array<double, 12>& rows, const std::string& name) {
  Geometry geometry;
  for (int axis = 0; axis < 3; ++axis) {
    const double length = std::hypot(rows[axis], rows[4 + axis], rows[8 + axis]);
    IVORY_CHECK(std::isfinite(length) && length > 0, name, ": the header's axis ", axis + 1, " has length ", length);
    geometry.spacing[axis] = length;
    for (int i = 0; i < 3; ++i) geometry.direction[i * 3 + axis] = rows[i * 4 + axis] / length;
  }
  for (int i = 0; i < 3; ++i) geometry.origin[i] = rows[i * 4 + 3];
  return geometry;
}

std::array<double, 12> sform_of(const Header& header) {
  std::array<double, 12> rows;
  for (size_t i = 0; i < 12; ++i) rows[i] = header.get<float>(280 + 4 * i);
  return rows;
}

// Why a matrix cannot be an sform: "" where it can.
std::string fault_of(const std::array<double, 12>& rows) {
  for (const double value : rows) {
    if (!std::isfinite(value)) return "holds what is no number";
  }
  for (int axis = 0; axis < 3; ++axis) {
    if (std::hypot(rows[axis], rows[4 + axis], rows[8 + axis]) == 0)
      return fmt::format("gives axis {} no length", axis + 1);
  }
  return skew(from_affine(rows, "").direction) > geometry_tolerance ? "is sheared" : "";
}

// Sizes along the axes that the header says beside a matrix; what is none is 1 mm, with a warning.
Vector3 voxel_size(const Header& header, Scan& scan) {
  Vector3 size;
  for (size_t i = 0; i < 3; ++i) {
    size[i] = std::abs(header.get<float>(80 + 4 * i));
    if (std::isfinite(size[i]) && size[i] > 0) continue;
    scan.warnings.push_back(fmt::format("{}: the header's voxel size along axis {} is {}; it is taken as 1 mm",
                                        header.name(), i + 1, size[i]));
    size[i] = 1;
  }
  return size;
}

// b, c, d of the quaternion, then the position.
std::array<double, 6> qform_of(const Header& header) {
  std::array<double, 6> values;
  for (size_t i = 0; i < 6; ++i) values[i] = header.get<float>(256 + 4 * i);
  return values;
}

std::string fault_of(const std::array<double, 6>& form) {
  for (const double value : form) {
    if (!std::isfinite(value)) return "holds what is no number";
  }
  return std::hypot(form[0], form[1], form[2]) > 1 + geometry_tolerance ? "is no rotation" : "";
}

Geometry from_qform(const Header& header, Scan& scan) {
  const auto form = qform_of(header);
  const double length = std::max(1.0, std::hypot(form[0], form[1], form[2]));  // of rounding
  const double b = form[0] / length, c = form[1] / length, d = form[2] / length;
  const double a = std::sqrt(std::max(0.0, 1 - b * b - c * c - d * d));
  const double last = header.get<float>(76) < 0 ? -1 : 1;  // qfac
  Geometry geometry;
  geometry.direction = {
      a * a + b * b - c * c - d * d, 2 * (b * c - a * d),           2 * (b * d + a * c) * last,
      2 * (b * c + a * d),           a * a + c * c - b * b - d * d, 2 * (c * d - a * b) * last,
      2 * (b * d - a * c),           2 * (c * d + a * b),           (a * a + d * d - b * b - c * c) * last};
  geometry.spacing = voxel_size(header, scan);
  for (size_t i = 0; i < 3; ++i) geometry.origin[i] = form[3 + i];
  return geometry;
}

Geometry without_forms(const Header& header, Scan& scan) {
  Geometry geometry;
  geometry.spacing = voxel_size(header, scan);
  geometry.direction = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  scan.warnings.push_back(header.name() + ": the header has neither sform nor qform; axes are taken as R, A, S");
  return geometry;
}

// The sform, or the qform where there is no sform or a broken one. Of two broken ones the sform's fault is named.
Geometry form_of(const Header& header, Scan& scan) {
  const bool has_qform = header.get<int16_t>(252) > 0, has_sform = header.get<int16_t>(254) > 0;
  if (!has_sform && !has_qform) return without_forms(header, scan);
  const std::string sform_fault = has_sform ? fault_of(sform_of(header)) : "", qform_fault = fault_of(qform_of(header));
  if (has_sform && sform_fault.empty()) return from_affine(sform_of(header), header.name());
  const bool usable = has_qform && qform_fault.empty();
  if (!usable && sform_fault == "is sheared") return from_affine(sform_of(header), header.name());  // refused below
  IVORY_CHECK(usable, header.name(), ": the header's ", has_sform ? "sform " : "qform ",
              has_sform ? sform_fault : qform_fault, has_sform ? ", and it has no qform that could be used" : "");
  if (has_sform)
    scan.warnings.push_back(fmt::format("{}: the header's sform {}; its qform is used", header.name(), sform_fault));
  return from_qform(header, scan);
}

Geometry geometry_of(const Header& header, Scan& scan) {
  Geometry geometry = form_of(header, scan);
  make_orthonormal(geometry.direction, header.name(), scan.warnings);
  const int unit = header.get<int8_t>(123) & 7;
  const double factor = unit == 1 ? 1000 : unit == 3 ? 0.001 : 1;  // metres, micrometres
  for (int i = 0; i < 3; ++i) geometry.spacing[i] *= factor, geometry.origin[i] *= factor;
  return geometry;
}

}  // namespace

Scan read_nifti(const fs::path& file, std::optional<int64_t> channel) {
  Stream stream(file);
  const Header header(stream, file);
  Scan scan;
  scan.files = {file};
  scan.geometry = geometry_of(header, scan);
  const auto size = dimensions(header);
  check_channel(channel, size[3], header.name());
  torch::Tensor voxels = read_voxels(stream, header, scan, size).select(0, channel.value_or(0));
  if (size[3] > 1) voxels = voxels.clone();  // the other channels go
  scan.voxels = with_intensities(voxels, header, scan);
  return scan;
}

}  // namespace ivory::ingest
