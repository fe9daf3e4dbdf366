// RibFrac: RibFracN-image.nii.gz with instance ids in RibFracN-label.nii.gz; tables give each instance its kind. The id
// of a voxel becomes the kind's code; −1, "not defined", which no label id can be, becomes 5.
#include <fmt/format.h>
#include <ivory/error.h>

#include <map>
#include <sstream>

#include "ingest/csv.h"
#include "ingest/layouts.h"
#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

constexpr int64_t undefined_kind = 5;
constexpr std::string_view image_ending = "-image", label_ending = "-label";

bool is_table(const fs::path& file) {
  const std::string name = file.filename().string();
  return name.starts_with("ribfrac-") && name.find("info") != std::string::npos && name.ends_with(".csv");
}

// What a source's `label` says: the file, and below it a line "INSTANCE KIND" each.
struct Labels {
  fs::path file;
  std::map<int64_t, int64_t> kinds;
};

std::string to_text(const Labels& labels) {
  std::string text = labels.file.string();
  for (const auto& [instance, kind] : labels.kinds) text += fmt::format("\n{} {}", instance, kind);
  return text;
}

Labels from_text(const std::string& text) {
  std::istringstream in(text);
  std::string file;
  std::getline(in, file);
  Labels labels{file, {}};
  for (int64_t instance = 0, kind = 0; in >> instance >> kind;) labels.kinds[instance] = kind;
  return labels;
}

// By public_id.
std::map<std::string, std::map<int64_t, int64_t>> kinds_of(const std::vector<fs::path>& files) {
  std::map<std::string, std::map<int64_t, int64_t>> kinds;
  for (const auto& file : files) {
    if (!is_table(file)) continue;
    const Csv table(file);
    for (size_t row = 0; row < table.rows(); ++row) {
      const int64_t code = table.integer(row, "label_code");
      IVORY_CHECK(code >= -1 && code <= 4, file.string(), ": label_code ", code, " of ", table.text(row, "public_id"),
                  " is not from -1 to 4");
      kinds[table.text(row, "public_id")][table.integer(row, "label_id")] = code < 0 ? undefined_kind : code;
    }
  }
  return kinds;
}

Sources list(const config::DataSpec& spec, std::vector<std::string>&) {
  const auto kinds = kinds_of(files_below(spec.path));
  const auto files = nifti_below(spec.path);
  std::map<std::string, fs::path> labels;
  for (const auto& [stem, file] : files) {
    if (stem.ends_with(label_ending)) labels[stem.substr(0, stem.size() - label_ending.size())] = file;
  }
  if (!labels.empty() && kinds.empty()) {
    throw_missing(spec, fmt::format("{}/ribfrac-*-info*.csv, the kinds of the labelled fractures,", spec.path));
  }
  Sources sources;
  for (const auto& [stem, file] : files) {
    if (!stem.ends_with(image_ending)) continue;
    const std::string name = stem.substr(0, stem.size() - image_ending.size());
    const auto label = labels.find(name);
    const auto known = kinds.find(name);
    const auto instances = known == kinds.end() ? std::map<int64_t, int64_t>() : known->second;
    sources.push_back({.name = name,
                       .image = file.string(),
                       .label = label == labels.end() ? "" : to_text({label->second, instances}),
                       .modality = "ct",
                       .patient = name});
  }
  return sources;
}

torch::Tensor to_kinds(const torch::Tensor& ids, const Labels& labels) {
  return mapped<int16_t>(ids, [&](auto id) {
    if (id == 0) return int64_t{0};
    const auto kind = labels.kinds.find(static_cast<int64_t>(id));
    IVORY_CHECK(kind != labels.kinds.end(), labels.file.string(), ": instance ", id,
                " has no row in ribfrac-*-info*.csv");
    return kind->second;
  });
}

LabelledScan read(const config::VolumeSource& source, const config::DataSpec&) {
  Scan image = read_scan(source.image);
  if (source.label.empty()) return combine(std::move(image), std::nullopt, source, layout_ribfrac);
  const Labels labels = from_text(source.label);
  config::VolumeSource files = source;
  files.label = labels.file.string();
  LabelledScan scans = combine(std::move(image), read_scan(labels.file, Use::labels), files, layout_ribfrac);
  scans.labels = to_kinds(scans.labels, labels);
  return scans;
}

}  // namespace

const Layout layout_ribfrac = {.name = "ribfrac", .list = list, .read = read};

}  // namespace ivory::ingest
