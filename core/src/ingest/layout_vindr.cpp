// VinDr-CXR as Kaggle has it (train.csv, train/, test/; DICOM, or PNG of 512 × 512) and as PhysioNet has it
// (annotations/annotations_{train,test}.csv). Each reader has rows of their own. A source's label says the image's
// boxes, merged, in pixels of the DICOM, and below them that image's rows and columns where the file is smaller.
#include <fmt/format.h>
#include <ivory/error.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "base/text.h"
#include "config/layouts.h"
#include "ingest/boxes.h"
#include "ingest/csv.h"
#include "ingest/format.h"
#include "ingest/layouts.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

constexpr double same_finding = 0.2;  // IoU of readers' boxes that are one

// Kaggle's class_id, by class_name: the order of the layout's labels.
std::map<std::string, int64_t> finding_numbers() {
  std::map<std::string, int64_t> numbers;
  for (const auto& label : config::find_layout("vindr-cxr")->labels)
    numbers.try_emplace(label.name, static_cast<int64_t>(numbers.size()));
  return numbers;
}

// By image_id. Rows of "No finding" have no box; findings that are none of the 14 are left out and counted (PhysioNet
// has some).
std::map<std::string, std::vector<Box>> boxes_of(const std::vector<fs::path>& files,
                                                 std::map<std::string, int64_t>& unknown) {
  const auto numbers = finding_numbers();
  std::map<std::string, std::vector<Box>> boxes;
  for (const auto& file : files) {
    if (!fs::exists(file)) continue;
    const Csv table(file);
    for (size_t row = 0; row < table.rows(); ++row) {
      const std::string& name = table.text(row, "class_name");
      const auto number = numbers.find(name);
      if (number == numbers.end() && name != "No finding") ++unknown[name];
      if (number == numbers.end() || table.text(row, "x_min").empty()) continue;
      boxes[table.text(row, "image_id")].push_back({number->second,
                                                    {table.number(row, "x_min"), table.number(row, "y_min"),
                                                     table.number(row, "x_max"), table.number(row, "y_max")}});
    }
  }
  for (auto& [image, all] : boxes) all = merged(all, same_finding);
  return boxes;
}

void tell_of_unknown(const std::map<std::string, int64_t>& unknown, const std::string& data_set,
                     std::vector<std::string>& warnings) {
  if (unknown.empty()) return;
  int64_t boxes = 0;
  for (const auto& [name, count] : unknown) boxes += count;
  const auto text = [](const auto& one) { return fmt::format("'{}' ({})", one.first, one.second); };
  warnings.push_back(fmt::format("data set '{}': {} boxes of findings that are none of the 14 are left out: {}",
                                 data_set, boxes, base::joined(unknown, ", ", text)));
}

// Rows and columns of the DICOM files that PNG files were made of.
std::map<std::string, std::array<int64_t, 2>> original_sizes(const fs::path& root) {
  std::map<std::string, std::array<int64_t, 2>> sizes;
  const fs::path file = root / "train_meta.csv";
  if (!fs::exists(file)) return sizes;
  const Csv table(file);
  for (size_t row = 0; row < table.rows(); ++row)
    sizes[table.text(row, "image_id")] = {table.integer(row, "dim0"), table.integer(row, "dim1")};
  return sizes;
}

std::vector<fs::path> images_below(const fs::path& folder) {
  std::vector<fs::path> images;
  if (!fs::is_directory(folder)) return images;
  for (const auto& file : files_below(folder)) {
    const auto ending = file.extension();
    if (ending == ".dicom" || ending == ".dcm" || ending == ".png") images.push_back(file);
  }
  return images;
}

Sources list(const config::DataSpec& spec, std::vector<std::string>& warnings) {
  const fs::path root = spec.path, annotations = root / "annotations";
  const std::vector<fs::path> tables = {root / "train.csv", annotations / "annotations_train.csv",
                                        annotations / "annotations_test.csv"};
  if (std::ranges::none_of(tables, [](const auto& file) { return fs::exists(file); }))
    throw_missing(spec, tables[0].string() + " (Kaggle) or " + tables[1].string() + " (PhysioNet)");
  std::map<std::string, int64_t> unknown;
  const auto boxes = boxes_of(tables, unknown);
  tell_of_unknown(unknown, spec.name, warnings);
  const auto sizes = original_sizes(root);
  Sources sources;
  int64_t unscaled = 0;
  for (const char* part : {"train", "test"}) {
    for (const auto& file : images_below(root / part)) {
      const std::string id = stem_of(file);
      const auto found = boxes.find(id);
      std::string label = found == boxes.end() ? "" : to_text(found->second);
      const auto size = sizes.find(id);
      const bool shrunk = file.extension() == ".png" && !label.empty();
      if (shrunk && size != sizes.end()) label += fmt::format("\n{} {}", size->second[0], size->second[1]);
      if (shrunk && size == sizes.end()) ++unscaled, label.clear();
      sources.push_back({.name = id, .image = file.string(), .label = label, .modality = "xray", .patient = id});
    }
  }
  if (unscaled > 0) {
    warnings.push_back(
        fmt::format("data set '{}': the boxes of {} PNG files are left out: train_meta.csv (image_id, dim0, "
                    "dim1) does not say the size of the DICOM files in whose pixels they are",
                    spec.name, unscaled));
  }
  return sources;
}

Scan read_boxes(const config::VolumeSource& source, const Scan& image) {
  const size_t below = source.label.find('\n');
  std::vector<Box> boxes = boxes_from_text(source.label.substr(0, below));
  const int64_t rows = image.voxels.size(1), columns = image.voxels.size(2);
  if (below != std::string::npos) {
    std::istringstream in(source.label.substr(below));
    double of_rows = 0, of_columns = 0;
    in >> of_rows >> of_columns;
    IVORY_CHECK(of_rows > 0 && of_columns > 0, source.image, ": train_meta.csv says a size of ", of_rows, " × ",
                of_columns);
    for (auto& box : boxes) {
      for (size_t i = 0; i < 4; ++i)
        box.edge[i] *= i % 2 == 0 ? static_cast<double>(columns) / of_columns : static_cast<double>(rows) / of_rows;
    }
  }
  return {.voxels = drawn(boxes, rows, columns),
          .geometry = image.geometry,
          .modality = "",
          .files = {},
          .also_read = {},
          .notes = {},
          .warnings = {}};
}

LabelledScan read(const config::VolumeSource& source, const config::DataSpec&) {
  Scan image = read_scan(source.image);
  std::optional<Scan> label;
  if (!source.label.empty()) label = read_boxes(source, image);
  return combine(std::move(image), std::move(label), source, layout_vindr);
}

}  // namespace

const Layout layout_vindr = {.name = "vindr-cxr", .list = list, .read = read};

}  // namespace ivory::ingest
