#include "ingest/dicom.h"

#include <fmt/format.h>
#include <gdcmTrace.h>
#include <itkGDCMImageIO.h>
#include <itkGDCMSeriesFileNames.h>
#include <ivory/error.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "ingest/dicom_length.h"
#include "ingest/geometry.h"
#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

std::string tag(itk::ImageIOBase& io, const std::string& key) {
  std::string value;
  static_cast<itk::GDCMImageIO&>(io).GetValueFromTag(key, value);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\0')) value.pop_back();
  return value;
}

std::vector<fs::path> series_files(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) check_dicom_start(entry.path());
  const auto names = itk::GDCMSeriesFileNames::New();
  names->SetUseSeriesDetails(false);  // one series is one SeriesInstanceUID
  names->SetDirectory(folder.string());
  const auto series = names->GetSeriesUIDs();
  IVORY_CHECK(!series.empty(), folder.string(), ": holds no DICOM images");
  if (series.size() > 1) {
    std::string listed;
    for (const auto& uid : series) {
      listed += fmt::format("{}{} ({} files)", listed.empty() ? "" : ", ", uid, names->GetFileNames(uid).size());
    }
    throw bad_request(folder.string(), ": holds ", series.size(), " DICOM series, expected one per folder: ", listed);
  }
  const auto& sorted = names->GetFileNames(series.front());
  return {sorted.begin(), sorted.end()};
}

struct Slice {
  torch::Tensor pixels;  // [1, rows, columns]
  Geometry geometry;
  fs::path file;
  std::string uid;      // SOP instance
  double position = 0;  // mm along the normal of the first slice
};

Vector3 normal_of(const Geometry& g) {
  const auto& d = g.direction;
  return {d[3] * d[7] - d[6] * d[4], d[6] * d[1] - d[0] * d[7], d[0] * d[4] - d[3] * d[1]};
}

double along(const Vector3& direction, const Vector3& position) {
  return direction[0] * position[0] + direction[1] * position[1] + direction[2] * position[2];
}

std::vector<Slice> read_slices(const std::vector<fs::path>& files, Scan& scan) {
  std::vector<Slice> slices;
  for (const auto& file : files) {
    Scan one;
    one.files = {file};
    check_dicom_pixels(file);
    const auto io = itk::GDCMImageIO::New();
    one.voxels = read_information_and_voxels(*io, file, one);
    one.geometry = geometry_of(*io);
    apply_dicom_tags(*io, one);
    IVORY_CHECK(one.voxels.size(0) == 1, file.string(), ": holds ", one.voxels.size(0),
                " frames in a series of several files; keep such files in folders of their own");
    if (slices.empty()) {
      scan.modality = one.modality;
      scan.notes = one.notes;
    }
    slices.push_back({one.voxels, one.geometry, file, tag(*io, "0008|0018")});
    const auto& first = slices.front();
    IVORY_CHECK(slices.back().pixels.sizes() == first.pixels.sizes(), file.string(), ": is ",
                size_text(slices.back().pixels), " pixels, other slices of the series ", size_text(first.pixels));
    slices.back().position = along(normal_of(first.geometry), one.geometry.origin);
  }
  return slices;
}

// Of sorted slices, all but the first of those at one position; says so.
void drop_same_place(Series& series, std::vector<Slice>& slices, const fs::path& folder) {
  std::vector<Slice> kept;
  int64_t different = 0;
  for (auto& slice : slices) {
    const bool again = !kept.empty() && slice.position - kept.back().position <= geometry_tolerance;
    if (again)
      different += torch::equal(slice.pixels.view(torch::kUInt8), kept.back().pixels.view(torch::kUInt8)) ? 0 : 1;
    if (!again) kept.push_back(slice);
    series.slice[slice.uid] = static_cast<int64_t>(kept.size()) - 1;
  }
  if (kept.size() < slices.size()) {
    series.scan.notes.push_back(
        fmt::format("{} slices at the position of another one dropped", slices.size() - kept.size()));
  }
  if (different > 0) {
    series.scan.warnings.push_back(
        fmt::format("{}: {} slices lie at the position of another one and differ from it; the "
                    "first by file name is kept",
                    folder.string(), different));
  }
  slices = std::move(kept);
}

// Distances of neighbours: one value, else a sentence.
double slice_spacing(const std::vector<Slice>& slices, const fs::path& folder, std::vector<std::string>& warnings) {
  const double mean = (slices.back().position - slices.front().position) / static_cast<double>(slices.size() - 1);
  double worst = 0;
  for (size_t i = 1; i < slices.size(); ++i) {
    const double gap = slices[i].position - slices[i - 1].position;
    IVORY_CHECK(gap > geometry_tolerance, folder.string(), ": ", slices[i - 1].file.filename().string(), " and ",
                slices[i].file.filename().string(), " lie at the same position");
    worst = std::max(worst, std::abs(gap - mean));
  }
  if (worst > 0.01 * mean) {
    warnings.push_back(
        fmt::format("{}: distances between slices differ from their mean, {:.4g} mm, by up to {:.3g} mm "
                    "(a slice may be missing)",
                    folder.string(), mean, worst));
  }
  return mean;
}

// The direction in which the slices are stacked is their normal; what a tilted gantry adds is named, not undone.
Geometry stack_geometry(const std::vector<Slice>& slices, const fs::path& folder, std::vector<std::string>& warnings) {
  Geometry geometry = slices.front().geometry;
  geometry.spacing[2] = slice_spacing(slices, folder, warnings);
  const Vector3 normal = normal_of(geometry);
  for (int i = 0; i < 3; ++i) geometry.direction[i * 3 + 2] = normal[i];
  const auto &first = slices.front().geometry.origin, &last = slices.back().geometry.origin;
  const double length = std::hypot(last[0] - first[0], last[1] - first[1], last[2] - first[2]);
  const double height = slices.back().position - slices.front().position;
  const double tilt = std::acos(std::min(1.0, height / length)) * 180 / M_PI;
  if (tilt > 0.5) {
    warnings.push_back(fmt::format("{}: the gantry was tilted by {:.1f} degrees; slices are stacked along their normal",
                                   folder.string(), tilt));
  }
  make_orthonormal(geometry.direction, folder.string(), warnings);
  return geometry;
}

torch::Tensor stacked(const std::vector<Slice>& slices) {
  const auto type = slices.front().pixels.scalar_type();
  const bool same =
      std::all_of(slices.begin(), slices.end(), [&](const Slice& slice) { return slice.pixels.scalar_type() == type; });
  std::vector<torch::Tensor> pixels;
  for (const auto& slice : slices) {
    torch::Tensor one = same ? slice.pixels : mapped<float>(slice.pixels, [](auto value) { return value; });
    pixels.push_back(one.scalar_type() == torch::kUInt16 ? one.view(torch::kInt16) : one);
  }
  torch::Tensor volume = torch::cat(pixels);
  return same && type == torch::kUInt16 ? volume.view(torch::kUInt16) : volume;
}

}  // namespace

void check_dicom_start(const fs::path& file) {
  gdcm::Trace::ErrorOff();  // GDCM prints what is said here in one sentence
  gdcm::Trace::WarningOff();
  std::string start(144, '\0');  // preamble, "DICM", the element (0002,0000): the length of the first group
  std::ifstream in(file, std::ios::binary);
  in.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<size_t>(in.gcount()));
  if (start.size() < 132 || start.compare(128, 4, "DICM") != 0) return;
  uint32_t group = 0;
  if (start.size() == 144 && start.compare(132, 8, std::string("\2\0\0\0UL\4\0", 8)) == 0)
    std::memcpy(&group, &start[140], sizeof group);
  IVORY_CHECK(fs::file_size(file) > 144 + uint64_t{group}, file.string(), ": is truncated in its first group");
}

void apply_dicom_tags(itk::ImageIOBase& io, Scan& scan) {
  const std::string modality = tag(io, "0008|0060");
  if (modality == "CT") scan.modality = "ct";
  if (modality == "MR") scan.modality = "mr";
  if (modality == "CR" || modality == "DX" || modality == "DR") scan.modality = "xray";
  const auto& dicom = static_cast<itk::GDCMImageIO&>(io);
  if (dicom.GetRescaleSlope() != 1 || dicom.GetRescaleIntercept() != 0) {
    scan.notes.push_back(
        fmt::format("rescaled: value × {:g} + {:g}", dicom.GetRescaleSlope(), dicom.GetRescaleIntercept()));
  }
  if (tag(io, "0028|0004") == "MONOCHROME1")
    scan.notes.push_back("MONOCHROME1 inverted over " + tag(io, "0028|0101") + " bits");
}

std::string dicom_modality(const fs::path& file) {
  const auto io = itk::GDCMImageIO::New();
  io->SetFileName(file.string());
  try {
    io->ReadImageInformation();
  } catch (const itk::ExceptionObject&) {
    return "";  // a structured report, a damaged file: nothing that holds an image
  }
  return tag(*io, "0008|0060");
}

Scan read_dicom_series(const fs::path& folder) {
  return read_series(folder, SamePlace::refused).scan;
}

Series read_series(const fs::path& folder, SamePlace same_place) {
  try {
    const auto files = series_files(folder);
    if (files.size() == 1) return {read_with_itk(files.front()), {}};
    Series series;
    Scan& scan = series.scan;
    scan.files = files;
    auto slices = read_slices(files, scan);
    std::stable_sort(slices.begin(), slices.end(), [](const Slice& a, const Slice& b) {
      return std::tie(a.position, a.file) < std::tie(b.position, b.file);
    });
    if (same_place == SamePlace::dropped) drop_same_place(series, slices, folder);
    IVORY_CHECK(slices.size() > 1, folder.string(), ": all its slices lie at one position");
    scan.geometry = stack_geometry(slices, folder, scan.warnings);
    scan.voxels = stacked(slices);
    return series;
  } catch (const itk::ExceptionObject& error) {
    throw bad_request(folder.string(), ": cannot be read: ", reason(error));
  }
}

}  // namespace ivory::ingest
