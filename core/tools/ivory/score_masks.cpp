// ivory score masks: label maps of volumes and images.
#include <ivory/error.h>
#include <ivory/metrics.h>
#include <ivory/surface_metrics.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iostream>
#include <set>
#include <span>

#include "ingest/ingest.h"
#include "plugin/library.h"
#include "score.h"

namespace ivory::tools {
namespace {

namespace fs = std::filesystem;

constexpr char command[] = "ivory score masks";

struct Settings {
  std::set<int64_t> labels;  // empty: all that the truth has
  std::string surface;
  double tolerance;
};

struct Pair {
  torch::Tensor predicted, expected;  // [D, H, W] label ids; undefined when both are empty
  std::array<double, 3> spacing = {1, 1, 1};
};

Settings settings_of(const Arguments& arguments) {
  Settings settings{.labels = {}, .surface = arguments.get("surface"), .tolerance = arguments.get<double>("tolerance")};
  const std::vector<std::string> known = {"voxels", "pooled", "elements", "none"};
  IVORY_CHECK(std::ranges::count(known, settings.surface), command,
              ": --surface is voxels, pooled, elements or none, got '", settings.surface, "'");
  std::istringstream list(arguments.get("labels"));
  for (std::string item; std::getline(list, item, ',');) {
    int64_t label = 0;
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), label);
    IVORY_CHECK(error == std::errc() && end == item.data() + item.size() && label > 0, command,
                ": --labels is a list of ids above 0, got '", item, "'");
    settings.labels.insert(label);
  }
  return settings;
}

// Readers refuse an image that is the same everywhere, as an empty mask is; as a label map it may be.
std::optional<data::VolumeData> read_beside(const fs::path& image, const fs::path& label) {
  auto* read = plugin::load_symbol<decltype(ivory_ingest_read)>("libivory_ingest.so", "ivory_ingest_read");
  config::DataSpec spec;
  spec.window = {0, 1};  // not looked for
  data::VolumeData volume;
  try {
    read({.name = label.stem().string(),
          .image = image.string(),
          .label = label.string(),
          .modality = "",
          .patient = ""},
         spec, volume);
  } catch (const Error& error) {
    if (std::string(error.what()).find("the volume is empty") == std::string::npos) throw;
    return std::nullopt;
  }
  return volume;
}

torch::Tensor ids(const torch::Tensor& values, const fs::path& file) {
  const auto whole = values.to(torch::kInt32);
  if (!values.is_floating_point()) return whole;
  IVORY_CHECK((whole == values).all().item<bool>(), file.string(), ": expected label ids, got other numbers");
  return whole;
}

// The same patient's orientation and place: the readers check both files' geometry.
Pair read_pair(const fs::path& predicted, const fs::path& expected) {
  auto volume = read_beside(expected, predicted);
  if (volume) return {volume->labels.to(torch::kInt32), ids(volume->pixels, expected), volume->info.spacing};
  volume = read_beside(predicted, expected);
  if (volume) return {ids(volume->pixels, predicted), volume->labels.to(torch::kInt32), volume->info.spacing};
  return {};
}

// All ids above 0.
std::set<int64_t> labels_of(const torch::Tensor& mask) {
  std::set<int64_t> labels;
  const auto whole = mask.contiguous();
  int32_t last = 0;
  for (const int32_t id : std::span(whole.data_ptr<int32_t>(), static_cast<size_t>(whole.numel()))) {
    if (id != last && id > 0) labels.insert(id);
    last = id;
  }
  return labels;
}

struct Sums {
  std::map<std::string, std::vector<double>> values;  // by metric
  int64_t cases = 0, empty = 0, invented = 0, missed = 0;
};

// A row of numbers; NaN where not defined.
std::vector<double> measure(const Pair& pair, int64_t label, const Settings& settings, Sums& sums) {
  Overlap overlap;
  SurfaceDistances surfaces;
  if (pair.predicted.defined()) {
    const auto predicted = pair.predicted == label, expected = pair.expected == label;
    overlap.add(predicted, expected);
    const auto kind = settings.surface == "elements" ? SurfaceKind::elements : SurfaceKind::voxels;
    const auto plane = [&](const torch::Tensor& mask) { return mask.size(0) == 1 ? mask[0] : mask; };
    if (settings.surface != "none") surfaces = surface_distances(plane(predicted), plane(expected), pair.spacing, kind);
  }
  ++sums.cases;
  if (overlap.both_empty()) {
    ++sums.empty;
  } else if (overlap.truth == 0) {
    ++sums.invented;
  } else if (overlap.prediction == 0) {
    ++sums.missed;
  }
  const bool both = !surfaces.both_empty() && !surfaces.one_empty();
  const auto quantile = settings.surface == "pooled" ? HausdorffKind::pooled : HausdorffKind::larger;
  const std::vector<double> row = {
      overlap.iou(), overlap.dice(), both ? hausdorff_distance(surfaces, 0.95, quantile) : std::nan(""),
      both ? surface_dice(surfaces, settings.tolerance) : std::nan(""), overlap.volume_error()};
  const std::vector<std::string> names = {"iou", "dice", "hd95", "nsd", "volume error"};
  for (size_t i = 0; i < row.size(); ++i)
    if (!std::isnan(row[i])) sums.values[names[i]].push_back(row[i]);
  return row;
}

std::vector<std::pair<fs::path, fs::path>> pairs_of(const fs::path& predicted, const fs::path& expected) {
  if (!fs::is_directory(expected)) return {{predicted, expected}};
  IVORY_CHECK(fs::is_directory(predicted), command, ": ", expected.string(), " is a folder, ", predicted.string(),
              " is none");
  std::vector<std::pair<fs::path, fs::path>> pairs;
  for (const auto& entry : fs::directory_iterator(expected)) {
    if (!entry.is_regular_file()) continue;
    const fs::path other = predicted / entry.path().filename();
    if (!fs::exists(other)) throw missing_data(command, ": there is no prediction ", other.string());
    pairs.emplace_back(other, entry.path());
  }
  IVORY_CHECK(!pairs.empty(), command, ": ", expected.string(), " holds no files");
  std::ranges::sort(pairs, {}, [](const auto& pair) { return pair.second; });
  return pairs;
}

double mean(const std::vector<double>& values) {
  double total = 0;
  for (const double value : values) total += value;
  return values.empty() ? std::nan("") : total / static_cast<double>(values.size());
}

}  // namespace

int score_masks(const Arguments& arguments) {
  const Settings settings = settings_of(arguments);
  std::vector<std::vector<std::string>> rows = {{"case", "label", "iou", "dice", "hd95", "nsd", "volume error"}};
  std::map<int64_t, Sums> by_label;
  for (const auto& [predicted, expected] : pairs_of(arguments.get("PREDICTION"), arguments.get("TRUTH"))) {
    const Pair pair = read_pair(predicted, expected);
    std::set<int64_t> labels = settings.labels;
    if (labels.empty() && pair.expected.defined()) labels = labels_of(pair.expected);
    for (const int64_t label : labels) {
      rows.push_back({expected.filename().string(), std::to_string(label)});
      for (const double value : measure(pair, label, settings, by_label[label]))
        rows.back().push_back(number_text(value));
    }
  }
  IVORY_CHECK(!by_label.empty(), command, ": the truth has no labels; --labels names those to score");
  for (const auto& [label, sums] : by_label) {
    rows.push_back({"mean", std::to_string(label)});
    for (const char* name : {"iou", "dice", "hd95", "nsd", "volume error"}) {
      const auto found = sums.values.find(name);
      rows.back().push_back(number_text(found == sums.values.end() ? std::nan("") : mean(found->second)));
    }
  }
  print_table(rows, arguments);
  for (const auto& [label, sums] : by_label) {
    std::cout << "label " << label << ": " << sums.cases << " cases, " << sums.empty
              << " without truth and prediction, " << sums.invented << " predicted without truth, " << sums.missed
              << " missed; HD95 and NSD are of the others\n";
  }
  return 0;
}

}  // namespace ivory::tools
