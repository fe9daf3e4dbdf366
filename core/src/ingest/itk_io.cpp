#include "ingest/itk_io.h"

#include <ivory/error.h>

#include <cmath>

#include "ingest/geometry.h"
#include "ingest/pictures.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

torch::ScalarType type_of(const itk::ImageIOBase& io, const fs::path& file) {
  using Type = itk::IOComponentEnum;
  switch (io.GetComponentType()) {
    case Type::UCHAR:
      return torch::kUInt8;
    case Type::CHAR:
      return torch::kInt8;
    case Type::USHORT:
      return torch::kUInt16;
    case Type::SHORT:
      return torch::kInt16;
    case Type::UINT:
      return torch::kUInt32;
    case Type::INT:
      return torch::kInt32;
    case Type::ULONG:
    case Type::ULONGLONG:
      return torch::kUInt64;
    case Type::LONG:
    case Type::LONGLONG:
      return torch::kInt64;
    case Type::FLOAT:
      return torch::kFloat32;
    case Type::DOUBLE:
      return torch::kFloat64;
    default:
      throw bad_request(file.string(), ": its voxels have a type that is not read, only integers and reals are");
  }
}

std::array<int64_t, 3> size_of(const itk::ImageIOBase& io, const fs::path& file) {
  const unsigned count = io.GetNumberOfDimensions();
  IVORY_CHECK(count >= 2, file.string(), ": has ", count, " dimensions, expected 2 or 3");
  std::array<int64_t, 3> size = {1, 1, 1};
  for (unsigned i = 0; i < count; ++i) {
    const auto length = static_cast<int64_t>(io.GetDimensions(i));
    IVORY_CHECK(length > 0 && length < 1 << 20, file.string(), ": dimension ", i + 1, " is ", length, " voxels long");
    if (i < 3) size[i] = length;
    IVORY_CHECK(i < 3 || length == 1, file.string(), ": has ", count, " dimensions, the ", i + 1, "th of length ",
                length, "; split it into one file per volume");
  }
  return size;
}

}  // namespace

std::string reason(const itk::ExceptionObject& error) {
  std::string text = error.GetDescription();
  for (const char* noise : {"ITK ERROR: ", "itk::ERROR: "}) {
    if (const auto at = text.find(noise); at != std::string::npos) text = text.substr(at + std::string(noise).size());
  }
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

torch::Tensor read_information_and_voxels(itk::ImageIOBase& io, const fs::path& file, Scan& scan) {
  try {
    io.SetFileName(file.string());
    io.ReadImageInformation();
    const auto size = size_of(io, file);
    const auto type = type_of(io, file);
    const auto channels = static_cast<int64_t>(io.GetNumberOfComponents());
    check_announced_size(static_cast<double>(size[0]) * static_cast<double>(size[1]) * static_cast<double>(size[2]) *
                             static_cast<double>(channels) * static_cast<double>(c10::elementSize(type)),
                         scan, file);
    itk::ImageIORegion region(io.GetNumberOfDimensions());
    for (unsigned i = 0; i < io.GetNumberOfDimensions(); ++i) region.SetSize(i, io.GetDimensions(i));
    io.SetIORegion(region);
    torch::Tensor pixels = torch::zeros({size[2], size[1], size[0], channels}, type);
    IVORY_CHECK(static_cast<size_t>(io.GetImageSizeInBytes()) == pixels.nbytes(), file.string(),
                ": the header contradicts itself about the number of voxels");
    io.Read(pixels.mutable_data_ptr());
    return single_channel(pixels, file, scan);
  } catch (const itk::ExceptionObject& error) {
    throw bad_request(file.string(), ": cannot be read: ", reason(error));
  }
}

Geometry geometry_of(const itk::ImageIOBase& io) {
  Geometry geometry;
  geometry.direction = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  const unsigned count = std::min(3U, io.GetNumberOfDimensions());
  for (unsigned axis = 0; axis < count; ++axis) {
    geometry.spacing[axis] = std::abs(io.GetSpacing(axis));
    geometry.origin[axis] = io.GetOrigin(axis);
    const std::vector<double> along = io.GetDirection(axis);
    for (unsigned i = 0; i < std::min<size_t>(3, along.size()); ++i) geometry.direction[i * 3 + axis] = along[i];
  }
  flip_frame(geometry);
  return geometry;
}

}  // namespace ivory::ingest
