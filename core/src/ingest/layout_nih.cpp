// NIH ChestX-ray8: PPPPPPPP_NNN.png in images_001 … images_012, patients in Data_Entry_2017*.csv, whose header has an
// unquoted comma ("OriginalImage[Width,Height]"). Some images are RGBA. Findings are not kept.
#include <fmt/format.h>
#include <ivory/error.h>

#include <map>

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

Sources list(const config::DataSpec& spec, std::vector<std::string>& warnings) {
  const auto files = files_below(spec.path);
  std::map<std::string, std::string> patients;
  for (const auto& file : files) {
    if (!is_table(file)) continue;
    const Csv table(file);
    for (size_t row = 0; row < table.rows(); ++row)
      patients[table.text(row, "Image Index")] = fmt::format("{:08}", table.integer(row, "Patient ID"));
  }
  if (patients.empty()) throw_missing(spec, spec.path + "/Data_Entry_2017*.csv, the images' patients,");
  Sources sources;
  int64_t unknown = 0;
  for (const auto& file : files) {
    if (!is_image(file)) continue;
    const auto patient = patients.find(file.filename().string());
    unknown += patient == patients.end() ? 1 : 0;
    sources.push_back({.name = file.stem().string(),
                       .image = file.string(),
                       .label = "",
                       .modality = "xray",
                       .patient = patient == patients.end() ? file.stem().string().substr(0, 8) : patient->second});
  }
  if (unknown > 0) {
    warnings.push_back(
        fmt::format("data set '{}': {} of {} images have no row in Data_Entry_2017*.csv; their patient is "
                    "taken from their names",
                    spec.name, unknown, sources.size()));
  }
  return sources;
}

}  // namespace

const Layout layout_nih = {.name = "nih-chestxray8", .list = list};

}  // namespace ivory::ingest
