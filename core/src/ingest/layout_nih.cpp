// NIH ChestX-ray8: PPPPPPPP_NNN.png in images_001 … images_012, patients in Data_Entry_2017*.csv, whose header has an
// unquoted comma ("OriginalImage[Width,Height]"). Some images are RGBA. An image's findings ("Cardiomegaly|Effusion")
// are the sum of 2^k, in every pixel; those of BBox_List_2017.csv, where boxes are drawn, in the pixels of their boxes.
#include <fmt/format.h>
#include <ivory/error.h>

#include <algorithm>
#include <array>
#include <map>
#include <sstream>

#include "ingest/boxes.h"
#include "ingest/csv.h"
#include "ingest/layouts.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

bool is_image(const fs::path& file) {
  const std::string stem = file.stem().string();  // "00000001_000"
  return file.extension() == ".png" && stem.size() == 12 && stem[8] == '_' && number_after(stem.substr(0, 8), "") &&
         number_after(stem.substr(9), "");
}

bool is_table(const fs::path& file) {
  return file.extension() == ".csv" && file.filename().string().starts_with("Data_Entry_2017");
}

// In the order of their bits: config/layouts_images.cpp names them by id.
constexpr std::array findings = {"Atelectasis", "Cardiomegaly",       "Consolidation", "Edema",        "Effusion",
                                 "Emphysema",   "Fibrosis",           "Hernia",        "Infiltration", "Mass",
                                 "Nodule",      "Pleural_Thickening", "Pneumonia",     "Pneumothorax"};

struct Entry {
  std::string patient;
  int64_t findings = 0;  // sum of 2^k
};

int64_t number_of(std::string name, const fs::path& table, size_t row) {
  if (name == "Infiltrate") name = "Infiltration";  // as the box list and the paper have it
  const auto found = std::ranges::find(findings, name);
  IVORY_CHECK(found != findings.end(), table.string(), ": finding '", name, "' of row ", row + 1, " is none of the 14");
  return found - findings.begin();
}

int64_t sum_of_findings(const std::string& text, const fs::path& table, size_t row) {
  int64_t sum = 0;
  std::istringstream in(text);
  for (std::string name; std::getline(in, name, '|');) {
    if (name != "No Finding") sum |= int64_t{1} << number_of(name, table, row);
  }
  return sum;
}

std::map<std::string, Entry> entries_of(const std::vector<fs::path>& files) {
  std::map<std::string, Entry> entries;
  for (const auto& file : files) {
    if (!is_table(file)) continue;
    const Csv table(file);
    for (size_t row = 0; row < table.rows(); ++row) {
      entries[table.text(row, "Image Index")] = {
          .patient = fmt::format("{:08}", table.integer(row, "Patient ID")),
          .findings = sum_of_findings(table.text(row, "Finding Labels"), file, row)};
    }
  }
  return entries;
}

Sources list(const config::DataSpec& spec, std::vector<std::string>& warnings) {
  const auto files = files_below(spec.path);
  const auto entries = entries_of(files);
  if (entries.empty()) throw_missing(spec, spec.path + "/Data_Entry_2017*.csv, the images' patients,");
  Sources sources;
  int64_t unknown = 0;
  for (const auto& file : files) {
    if (!is_image(file)) continue;
    const auto entry = entries.find(file.filename().string());
    const bool known = entry != entries.end();
    unknown += known ? 0 : 1;
    sources.push_back({.name = file.stem().string(),
                       .image = file.string(),
                       .label = known ? std::to_string(entry->second.findings) : "",
                       .modality = "xray",
                       .patient = known ? entry->second.patient : file.stem().string().substr(0, 8)});
  }
  if (unknown > 0) {
    warnings.push_back(
        fmt::format("data set '{}': {} of {} images have no row in Data_Entry_2017*.csv; their patient is "
                    "taken from their names",
                    spec.name, unknown, sources.size()));
  }
  return sources;
}

// By image. The header's last column, "Bbox [x,y,w,h]", has unquoted commas.
std::map<std::string, std::vector<Box>> boxes_of(const fs::path& file) {
  std::map<std::string, std::vector<Box>> boxes;
  const Csv table(file);
  for (size_t row = 0; row < table.rows(); ++row) {
    const double left = table.number(row, "Bbox [x"), top = table.number(row, "y");
    boxes[table.text(row, "Image Index")].push_back(
        {number_of(table.text(row, "Finding Label"), file, row),
         {left, top, left + table.number(row, "w"), top + table.number(row, "h]")}});
  }
  return boxes;
}

// The images with boxes alone.
Sources list_boxes(const config::DataSpec& spec, std::vector<std::string>& warnings) {
  const fs::path file = fs::path(spec.path) / "BBox_List_2017.csv";
  if (!fs::exists(file)) throw_missing(spec, file.string());
  const auto boxes = boxes_of(file);
  Sources with_boxes;
  for (auto& source : list(spec, warnings)) {
    const auto found = boxes.find(fs::path(source.image).filename().string());
    if (found == boxes.end()) continue;
    with_boxes.push_back(std::move(source));
    with_boxes.back().label = to_text(found->second);
  }
  return with_boxes;
}

LabelledScan read_boxes(const config::VolumeSource& source, const config::DataSpec&) {
  LabelledScan scans = combine(read_scan(source.image), std::nullopt, source, layout_nih_boxes);
  const auto& voxels = scans.image.voxels;
  scans.labels = drawn(boxes_from_text(source.label), voxels.size(1), voxels.size(2));
  return scans;
}

LabelledScan read(const config::VolumeSource& source, const config::DataSpec&) {
  LabelledScan scans = combine(read_scan(source.image), std::nullopt, source, layout_nih);
  if (source.label.empty()) return scans;
  scans.labels = torch::full(scans.image.voxels.sizes(), std::stoll(source.label), torch::kInt16);
  return scans;
}

}  // namespace

const Layout layout_nih = {.name = "nih-chestxray8", .list = list, .read = read, .shard_volumes = 32};
const Layout layout_nih_boxes = {
    .name = "nih-chestxray8-boxes", .list = list_boxes, .read = read_boxes, .shard_volumes = 32};

}  // namespace ivory::ingest
