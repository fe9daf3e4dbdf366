// LIDC-IDRI: PATIENT/STUDY/SERIES/*.dcm with the readings of four radiologists in an .xml beside them. Some series hold
// a slice twice; some patients have radiographs and segmentations of others beside their CT.
#include <fmt/format.h>
#include <ivory/error.h>

#include <boost/property_tree/xml_parser.hpp>
#include <map>
#include <set>

#include "base/file_kind.h"
#include "ingest/dicom.h"
#include "ingest/format.h"
#include "ingest/layouts.h"
#include "ingest/outline.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;
using boost::property_tree::ptree;

constexpr const char* patient_prefix = "LIDC-IDRI-";

struct CtSeries {
  std::string patient;
  fs::path folder, readings;
};

std::string patient_of(const fs::path& folder, const fs::path& root) {
  for (const auto& part : folder.lexically_relative(root)) {
    if (part.string().starts_with(patient_prefix)) return part.string();
  }
  return folder.filename().string();
}

// Folders with DICOM files whose first one is of a CT.
void find_series(const fs::path& folder, const fs::path& root, LinkGuard& guard, std::vector<CtSeries>& found) {
  fs::path first, readings;
  for (const auto& entry : entries(folder)) {
    if (fs::is_directory(entry)) {
      if (guard.enters(entry)) find_series(entry, root, guard, found);
    } else if (entry.extension() == ".xml") {
      readings = entry;
    } else if (first.empty() && format_of(entry) == Format::dicom) {
      first = entry;
    }
  }
  if (!first.empty() && dicom_modality(first) == "CT") found.push_back({patient_of(folder, root), folder, readings});
}

Sources list(const config::DataSpec& spec, std::vector<std::string>&) {
  std::vector<CtSeries> found;
  LinkGuard guard(spec.path);
  find_series(spec.path, spec.path, guard, found);
  std::map<std::string, int> count, number;
  for (const auto& series : found) ++count[series.patient];
  Sources sources;
  for (const auto& series : found) {
    const int n = ++number[series.patient];
    sources.push_back({.name = count[series.patient] == 1 ? series.patient : fmt::format("{}_{}", series.patient, n),
                       .image = series.folder.string(),
                       .label = series.readings.string(),
                       .modality = "ct",
                       .patient = series.patient});
  }
  return sources;
}

// The nodule's inside on one slice, or a hole in it.
struct Region {
  std::string uid;  // of the slice
  bool hole = false;
  Outline outline;
};

std::vector<Region> regions_of(const ptree& nodule) {
  std::vector<Region> regions;
  for (const auto& [name, roi] : nodule) {
    if (name != "roi") continue;
    Region region{roi.get<std::string>("imageSOP_UID"), roi.get<std::string>("inclusion", "TRUE") == "FALSE", {}};
    for (const auto& [part, point] : roi) {
      if (part == "edgeMap") region.outline.push_back({point.get<int64_t>("xCoord"), point.get<int64_t>("yCoord")});
    }
    regions.push_back(std::move(region));
  }
  return regions;
}

// Nodules below 3 mm are marked by a single point and are left out.
torch::Tensor reading_of(const ptree& session, const Series& series, const fs::path& file) {
  torch::Tensor mask = torch::zeros(series.scan.voxels.sizes(), torch::kInt16);
  for (const auto& [name, nodule] : session) {
    if (name != "unblindedReadNodule") continue;
    std::vector<Region> regions = regions_of(nodule);
    std::ranges::stable_sort(regions, {}, &Region::hole);  // holes last
    for (const auto& region : regions) {
      if (region.outline.size() < 3) continue;
      const auto slice = series.slice.find(region.uid);
      IVORY_CHECK(slice != series.slice.end(), file.string(), ": outlines a nodule on slice ", region.uid,
                  ", which is not in ", file.parent_path().string());
      fill_inside(region.outline, region.hole ? 0 : 1, mask[slice->second]);
    }
  }
  return mask;
}

// How many readers saw a nodule at each voxel.
torch::Tensor readers_of(const fs::path& file, const Series& series) {
  torch::Tensor readers = torch::zeros(series.scan.voxels.sizes(), torch::kInt16);
  try {
    ptree document;
    boost::property_tree::read_xml(file.string(), document);
    for (const auto& [name, session] : document.get_child("LidcReadMessage")) {
      if (name == "readingSession") readers += reading_of(session, series, file);
    }
  } catch (const boost::property_tree::ptree_error& error) {
    const std::string mistaken = base::mistaken_file(file);
    const bool is_xml = mistaken.empty() || mistaken.find("XML") != std::string::npos;
    throw bad_request(file.string(), ": is ", is_xml ? "no reading of LIDC: " + std::string(error.what()) : mistaken);
  }
  return readers;
}

LabelledScan read(const config::VolumeSource& source, const config::DataSpec&) {
  Series series = read_series(source.image, SamePlace::dropped);
  if (source.label.empty()) return combine(std::move(series.scan), std::nullopt, source, layout_lidc);
  Scan label{.voxels = readers_of(source.label, series),
             .geometry = series.scan.geometry,
             .modality = "",
             .files = {source.label},
             .also_read = {},
             .notes = {},
             .warnings = {}};
  return combine(std::move(series.scan), std::move(label), source, layout_lidc);
}

}  // namespace

const Layout layout_lidc = {.name = "lidc-idri", .list = list, .read = read};

}  // namespace ivory::ingest
