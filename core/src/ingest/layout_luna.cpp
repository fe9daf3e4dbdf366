// LUNA 2016: subsetN/SERIESUID.mhd, and the cubes around the candidates of candidates_V2.csv.
#include <fmt/format.h>
#include <ivory/error.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>

#include "ingest/csv.h"
#include "ingest/layouts.h"
#include "ingest/resample.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

constexpr std::array<int64_t, 3> cube = {32, 64, 64};  // slices, rows, columns
constexpr double air = -1000;                          // HU, outside the scan

// SERIESUID → its header, in the folders subset0 … subset9 at any depth.
std::map<std::string, fs::path> scans_below(const fs::path& folder) {
  std::map<std::string, fs::path> scans;
  for (const auto& file : files_below(folder)) {
    const bool in_subset = number_after(file.parent_path().filename().string(), "subset").has_value();
    if (in_subset && file.extension() == ".mhd") scans[file.stem().string()] = file;
  }
  return scans;
}

std::string name_of(const fs::path& scan) {
  return scan.parent_path().filename().string() + "/" + scan.stem().string();
}

Sources list_scans(const config::DataSpec& spec, std::vector<std::string>&) {
  Sources sources;
  for (const auto& [uid, file] : scans_below(spec.path)) {
    sources.push_back({.name = name_of(file), .image = file.string(), .label = "", .modality = "ct", .patient = uid});
  }
  return sources;
}

Sources list_candidates(const config::DataSpec& spec, std::vector<std::string>& warnings) {
  const fs::path file = fs::path(spec.path) / "candidates_V2.csv";
  if (!fs::exists(file)) throw_missing(spec, file.string());
  const auto scans = scans_below(spec.path);
  const Csv candidates(file);
  Sources sources;
  int64_t elsewhere = 0;
  for (size_t row = 0; row < candidates.rows(); ++row) {
    const std::string& uid = candidates.text(row, "seriesuid");
    const auto scan = scans.find(uid);
    if (scan == scans.end()) {
      ++elsewhere;
      continue;
    }
    const int64_t nodule = candidates.integer(row, "class");
    IVORY_CHECK(nodule == 0 || nodule == 1, file.string(), ": class ", nodule, " of candidate ", row, " is not 0 or 1");
    sources.push_back({.name = fmt::format("{}/{:06}", name_of(scan->second), row),
                       .image = scan->second.string(),
                       .label = fmt::format("{} {} {} {}", nodule, candidates.number(row, "coordX"),
                                            candidates.number(row, "coordY"), candidates.number(row, "coordZ")),
                       .modality = "ct",
                       .patient = uid});
  }
  if (elsewhere > 0) {
    warnings.push_back(fmt::format("data set '{}': {} of the {} candidates lie in scans that are not there", spec.name,
                                   elsewhere, candidates.rows()));
  }
  return sources;
}

// Whether it is a nodule, and its place in millimetres of our frame; the file's has x to the left, y to posterior.
struct Candidate {
  int64_t nodule = 0;
  Vector3 place = {0, 0, 0};
};

Candidate from_text(const std::string& text) {
  Candidate candidate;
  std::istringstream in(text);
  in >> candidate.nodule >> candidate.place[0] >> candidate.place[1] >> candidate.place[2];
  IVORY_CHECK(in, "'", text, "' is no candidate, expected \"CLASS X Y Z\"");
  for (int i = 0; i < 2; ++i) candidate.place[i] = -candidate.place[i];
  return candidate;
}

// The nearest voxel: slice, row, column.
std::array<int64_t, 3> voxel_at(const Geometry& geometry, const Vector3& place) {
  std::array<int64_t, 3> voxel;
  for (int axis = 0; axis < 3; ++axis) {
    double along = 0;
    for (int i = 0; i < 3; ++i) along += geometry.direction[i * 3 + axis] * (place[i] - geometry.origin[i]);
    voxel[2 - axis] = std::lround(along / geometry.spacing[axis]);
  }
  return voxel;
}

// The cube whose voxel [16, 32, 32] is `centre`; what lies outside the scan is air.
Scan cut(const Scan& scan, const std::array<int64_t, 3>& centre) {
  const bool has_negatives = scan.voxels.scalar_type() == torch::kInt16 || scan.voxels.is_floating_point();
  Scan part{.voxels = torch::full({cube[0], cube[1], cube[2]}, has_negatives ? air : 0, scan.voxels.options()),
            .geometry = scan.geometry,
            .modality = scan.modality,
            .files = {},
            .also_read = scan.files,  // of 850 cubes a scan: hashing it for each would take longer than all else
            .notes = scan.notes,
            .warnings = {}};
  torch::Tensor from = scan.voxels, to = part.voxels;
  for (int dimension = 0; dimension < 3; ++dimension) {
    const int64_t first = centre[dimension] - cube[dimension] / 2, length = scan.voxels.size(dimension);
    const int64_t begin = std::clamp<int64_t>(first, 0, length);
    const int64_t end = std::clamp<int64_t>(first + cube[dimension], begin, length);
    from = from.slice(dimension, begin, end);
    to = to.slice(dimension, begin - first, end - first);
    const int axis = 2 - dimension;
    for (int i = 0; i < 3; ++i) {
      part.geometry.origin[i] +=
          scan.geometry.direction[i * 3 + axis] * scan.geometry.spacing[axis] * static_cast<double>(first);
    }
  }
  to.copy_(from);
  return part;
}

// The whole scan at the wanted spacing. Its candidates follow each other: the last scan of this thread is kept.
const Scan& whole_scan(const config::VolumeSource& source, const config::DataSpec& spec) {
  thread_local std::string last;
  thread_local Scan kept;
  const std::string key = fmt::format("{} {} {} {}", source.image, spec.spacing[0], spec.spacing[1], spec.spacing[2]);
  if (key == last) return kept;
  last.clear();
  kept = combine(read_scan(source.image), std::nullopt, source, layout_luna).image;
  resample(kept, wanted_grid(kept, spec.spacing, /*max_size=*/0), Interpolation::linear);
  last = key;
  return kept;
}

LabelledScan read_candidate(const config::VolumeSource& source, const config::DataSpec& spec) {
  const Candidate candidate = from_text(source.label);
  const Scan& scan = whole_scan(source, spec);
  const auto centre = voxel_at(scan.geometry, candidate.place);
  for (int i = 0; i < 3; ++i) {
    IVORY_CHECK(centre[i] >= 0 && centre[i] < scan.voxels.size(i), source.image, ": candidate ", source.name,
                " lies outside the scan");
  }
  Scan part = cut(scan, centre);
  torch::Tensor labels = torch::full(part.voxels.sizes(), candidate.nodule, torch::kInt16);
  return {std::move(part), std::move(labels)};
}

}  // namespace

const Layout layout_luna = {.name = "luna2016", .list = list_scans};
const Layout layout_luna_candidates = {.name = "luna2016-v2",
                                       .list = list_candidates,
                                       .read = read_candidate,
                                       .shard_volumes = 1024,
                                       .shard_of_one_file = true};

}  // namespace ivory::ingest
