// MOTS: LiTS, KiTS19 and tasks of the Medical Segmentation Decathlon side by side, each with its own organs. Their ids
// become those of the whole, by name (ivory data describe mots).
#include <fmt/format.h>
#include <ivory/error.h>

#include <array>
#include <map>

#include "ingest/layouts.h"
#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

// Ids of the whole for the part's ids 1 and 2; 0 where the part has no second one.
struct Part {
  const char* name;
  std::array<int16_t, 2> ids;
};
constexpr Part lits = {"LiTS", {1, 2}}, kits = {"KiTS19", {3, 4}};
// Tasks of the Decathlon, by the end of their folder's name ("Task08_HepaticVessel").
constexpr std::array tasks = {Part{"HepaticVessel", {5, 6}}, Part{"Pancreas", {7, 8}}, Part{"Colon", {9, 0}},
                              Part{"Lung", {10, 0}}, Part{"Spleen", {11, 0}}};

// Names begin with the part's: the reader finds by it which ids a file has.
void add(Sources sources, const Part& part, Sources& all) {
  for (auto& source : sources) {
    source.name = std::string(part.name) + "/" + source.name;
    source.patient = std::string(part.name) + "/" + source.patient;
    source.modality = "ct";
    all.push_back(std::move(source));
  }
}

bool is_case(const fs::path& folder) {
  return fs::is_directory(folder) && number_after(folder.filename().string(), "case_").has_value();
}

std::optional<fs::path> nifti_named(const fs::path& folder, const std::string& stem) {
  for (const char* ending : {".nii.gz", ".nii"}) {
    if (fs::exists(folder / (stem + ending))) return folder / (stem + ending);
  }
  return std::nullopt;
}

// Cases without a segmentation are KiTS19's test set.
Sources kits_cases(const fs::path& folder) {
  Sources sources;
  for (const auto& entry : entries(folder)) {
    const auto image = is_case(entry) ? nifti_named(entry, "imaging") : std::nullopt;
    if (!image) continue;
    const std::string name = entry.filename().string();
    sources.push_back({.name = name,
                       .image = image->string(),
                       .label = nifti_named(entry, "segmentation").value_or(fs::path()).string(),
                       .modality = "ct",
                       .patient = name});
  }
  return sources;
}

const Part* task_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  for (const auto& task : tasks) {
    if (name.ends_with(task.name)) return &task;
  }
  return nullptr;
}

bool holds_lits(const fs::path& folder) {
  for (const auto& [stem, file] : nifti_below(folder)) {
    if (number_after(stem, "volume-")) return true;
  }
  return false;
}

Sources list(const config::DataSpec& spec, std::vector<std::string>& warnings) {
  Sources all;
  for (const auto& folder : entries(spec.path)) {
    if (!fs::is_directory(folder)) continue;
    config::DataSpec part = spec;
    part.path = folder.string();
    const Part* task = fs::exists(folder / "dataset.json") ? task_of(folder) : nullptr;
    if (task) {
      part.layout = "msd";
      add(layout_msd.list(part, warnings), *task, all);
    } else if (const auto cases = kits_cases(fs::is_directory(folder / "data") ? folder / "data" : folder);
               !cases.empty()) {
      add(cases, kits, all);
    } else if (holds_lits(folder)) {
      add(layout_lits.list(part, warnings), lits, all);
    } else {
      warnings.push_back(
          fmt::format("data set '{}': {} is no part of MOTS and is passed over", spec.name, folder.string()));
    }
  }
  return all;
}

Part part_of(const std::string& name) {
  const std::string begin = name.substr(0, name.find('/'));
  for (const auto& part : tasks) {
    if (begin == part.name) return part;
  }
  return begin == lits.name ? lits : kits;
}

torch::Tensor map_labels(const torch::Tensor& ids, const config::VolumeSource& source, Scan&) {
  const Part part = part_of(source.name);
  const int64_t last = part.ids[1] == 0 ? 1 : 2;
  return mapped<int16_t>(ids, [&](auto id) -> int64_t {
    IVORY_CHECK(static_cast<int64_t>(id) <= last, source.label, ": holds label ", id, ", expected 0 to ", last, " in ",
                part.name);
    return id == 0 ? 0 : part.ids[static_cast<size_t>(id) - 1];
  });
}

LabelledScan read(const config::VolumeSource& source, const config::DataSpec&) {
  Layout files = layout_mots;
  files.labels_on_image_grid = part_of(source.name).ids == lits.ids;
  Scan image = read_scan(source.image);
  std::optional<Scan> label;
  if (!source.label.empty()) label = read_scan(source.label, Use::labels);
  return combine(std::move(image), std::move(label), source, files);
}

}  // namespace

const Layout layout_mots = {.name = "mots", .list = list, .map_labels = map_labels, .read = read};

}  // namespace ivory::ingest
