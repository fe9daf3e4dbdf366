#include "ingest/dicom.h"

#include <fmt/format.h>
#include <itkGDCMImageIO.h>
#include <itkGDCMSeriesFileNames.h>
#include <ivory/error.h>

#include <algorithm>
#include <cmath>

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
    slices.push_back({one.voxels, one.geometry, file});
    const auto& first = slices.front();
    IVORY_CHECK(slices.back().pixels.sizes() == first.pixels.sizes(), file.string(), ": is ",
                size_text(slices.back().pixels), " pixels, other slices of the series ", size_text(first.pixels));
    slices.back().position = along(normal_of(first.geometry), one.geometry.origin);
  }
  return slices;
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
  if (tag(io, "0028|0004") != "MONOCHROME1") return;
  const auto range = extrema(scan.voxels);
  scan.voxels = with_values(scan.voxels, [&](auto values) {
    using T = std::remove_cv_t<typename decltype(values)::element_type>;
    return mapped<T>(scan.voxels, [&](auto value) { return range[1] + range[0] - static_cast<double>(value); });
  });
  scan.notes.emplace_back("MONOCHROME1 inverted");
}

Scan read_dicom_series(const fs::path& folder) {
  try {
    const auto files = series_files(folder);
    if (files.size() == 1) return read_with_itk(files.front());
    Scan scan;
    scan.files = files;
    auto slices = read_slices(files, scan);
    std::stable_sort(slices.begin(), slices.end(),
                     [](const Slice& a, const Slice& b) { return a.position < b.position; });
    scan.geometry = stack_geometry(slices, folder, scan.warnings);
    scan.voxels = stacked(slices);
    return scan;
  } catch (const itk::ExceptionObject& error) {
    throw bad_request(folder.string(), ": cannot be read: ", reason(error));
  }
}

}  // namespace ivory::ingest
