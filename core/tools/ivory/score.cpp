// ivory score: predictions against the truth, from files, each metric alone: docs/scores.md
#include "score.h"

#include <ivory/detection_metrics.h>
#include <ivory/error.h>
#include <ivory/metrics.h>

#include <charconv>
#include <cmath>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_map>

#include "base/files.h"
#include "commands.h"

namespace ivory::tools {
namespace {

namespace fs = std::filesystem;
namespace options = boost::program_options;

constexpr char command[] = "ivory score";

std::vector<std::string> split_line(const std::string& line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else if (c != '\r') {
      fields.back() += c;
    }
  }
  return fields;
}

torch::Tensor corners_of(const std::vector<std::array<double, 4>>& boxes) {
  auto corners = torch::empty({static_cast<int64_t>(boxes.size()), 4}, torch::kFloat64);
  for (size_t i = 0; i < boxes.size(); ++i) std::ranges::copy(boxes[i], corners.data_ptr<double>() + 4 * i);
  return corners;
}

nlohmann::json read_json(const fs::path& file) {
  try {
    return nlohmann::json::parse(base::read_text(file));
  } catch (const nlohmann::json::exception& error) {
    throw bad_request(file.string(), ": not JSON: ", error.what());
  }
}

struct ImageBoxes {
  std::vector<std::array<double, 4>> found, truth;
  std::vector<int64_t> found_classes, truth_classes;
  std::vector<double> scores;
  std::vector<bool> crowd;
};

// COCO's x, y, width, height.
std::array<double, 4> box_of(const nlohmann::json& item) {
  const auto box = item.at("bbox").get<std::vector<double>>();
  IVORY_CHECK(box.size() == 4, "a box of ", box.size(), " numbers, expected x, y, width, height");
  IVORY_CHECK(box[2] > 0 && box[3] > 0, "a box of ", box[2], " x ", box[3], " pixels, expected more than 0");
  return {box[0], box[1], box[0] + box[2], box[1] + box[3]};
}

// The scan of each row by a number.
std::vector<int64_t> scan_numbers(const CsvTable& table) {
  std::unordered_map<std::string, int64_t> known;
  std::vector<int64_t> numbers;
  for (size_t row = 0; row < table.rows.size(); ++row) {
    if (!table.columns.contains("scan")) {
      numbers.push_back(static_cast<int64_t>(row));
      continue;
    }
    numbers.push_back(known.try_emplace(table.text(row, "scan"), static_cast<int64_t>(known.size())).first->second);
  }
  return numbers;
}

std::array<double, 3> centre_of(const CsvTable& table, size_t row) {
  return {table.number(row, "coordX"), table.number(row, "coordY"), table.number(row, "coordZ")};
}

struct Kind {
  const char* name;
  int (*run)(const Arguments& arguments);
};
constexpr Kind kinds[] = {{"masks", score_masks}, {"boxes", score_boxes}, {"auc", score_auc}, {"froc", score_froc}};

}  // namespace

const std::string& CsvTable::text(size_t row, const std::string& column) const {
  const auto found = columns.find(column);
  IVORY_CHECK(found != columns.end(), file, ": there is no column '", column, "'");
  IVORY_CHECK(found->second < rows[row].size(), file, ": row ", row + 2, " has no column '", column, "'");
  return rows[row][found->second];
}

double CsvTable::number(size_t row, const std::string& column) const {
  const std::string& field = text(row, column);
  double value = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  IVORY_CHECK(error == std::errc() && end == field.data() + field.size(), file, ": row ", row + 2, ", column '", column,
              "': expected a number, got '", field, "'");
  return value;
}

CsvTable read_csv(const fs::path& file) {
  std::istringstream in(base::read_text(file));
  CsvTable table{.file = file.string(), .columns = {}, .rows = {}};
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line == "\r") continue;
    auto fields = split_line(line);
    if (table.columns.empty()) {
      for (size_t i = 0; i < fields.size(); ++i) table.columns.emplace(fields[i], i);
    } else {
      table.rows.push_back(std::move(fields));
    }
  }
  IVORY_CHECK(!table.columns.empty(), file.string(), ": the file is empty, expected a heading and rows");
  return table;
}

std::string number_text(double value) {
  if (std::isnan(value)) return "";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, value, std::chars_format::general, 6).ptr};
}

void print_table(const std::vector<std::vector<std::string>>& rows, const Arguments& arguments) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) line += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    line.erase(line.find_last_not_of(' ') + 1);
    std::cout << line << "\n";
  }
  if (!arguments.has("output")) return;
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      const bool quote = row[i].find_first_of(",\"") != std::string::npos;
      text += (i > 0 ? "," : "") + (quote ? "\"" + row[i] + "\"" : row[i]);
    }
    text += "\n";
  }
  base::write_durable(arguments.get("output"), text);
}

// PREDICTION: COCO's list of results; TRUTH: COCO's annotations.
int score_boxes(const Arguments& arguments) {
  const std::string name = arguments.get("precision");
  IVORY_CHECK(name == "coco" || name == "area" || name == "voc11", command,
              " boxes: --precision is coco, area or voc11, got '", name, "'");
  const auto kind = name == "coco" ? PrecisionKind::coco : name == "area" ? PrecisionKind::area : PrecisionKind::voc11;
  const auto found = read_json(arguments.get("PREDICTION")), truth = read_json(arguments.get("TRUTH"));
  std::map<int64_t, ImageBoxes> images;
  std::map<int64_t, int64_t> classes;  // category → class from 1
  std::vector<std::string> names;
  try {
    for (const auto& category : truth.at("categories")) {
      const auto id = category.at("id").get<int64_t>();
      names.push_back(category.value("name", std::to_string(id)));
      classes.emplace(id, static_cast<int64_t>(names.size()));
    }
    const auto class_of = [&](const nlohmann::json& item) {
      const auto known = classes.find(item.at("category_id").get<int64_t>());
      IVORY_CHECK(known != classes.end(), "category ", item.at("category_id").get<int64_t>(),
                  " is not one of the truth's");
      return known->second;
    };
    for (const auto& image : truth.at("images")) images[image.at("id").get<int64_t>()];
    const auto image_of = [&](const nlohmann::json& item) -> ImageBoxes& {
      const auto known = images.find(item.at("image_id").get<int64_t>());
      IVORY_CHECK(known != images.end(), "image ", item.at("image_id").get<int64_t>(), " is not one of the truth's");
      return known->second;
    };
    for (const auto& item : truth.at("annotations")) {
      auto& image = image_of(item);
      image.truth.push_back(box_of(item));
      image.truth_classes.push_back(class_of(item));
      image.crowd.push_back(item.value("iscrowd", 0) != 0);
    }
    for (const auto& item : found) {
      auto& image = image_of(item);
      image.found.push_back(box_of(item));
      image.found_classes.push_back(class_of(item));
      image.scores.push_back(item.at("score").get<double>());
    }
  } catch (const nlohmann::json::exception& error) {
    throw bad_request(command, " boxes: not COCO's format: ", error.what());
  }
  IVORY_CHECK(!names.empty(), command, " boxes: the truth has no categories");
  AveragePrecision precision(static_cast<int64_t>(names.size()), {.thresholds = coco_thresholds(), .kind = kind});
  for (const auto& [id, image] : images) {
    auto crowd = torch::zeros({static_cast<int64_t>(image.crowd.size())}, torch::kBool);
    for (size_t i = 0; i < image.crowd.size(); ++i) crowd[static_cast<int64_t>(i)] = image.crowd[i];
    precision.add({corners_of(image.found), torch::tensor(image.found_classes, torch::kInt64),
                   torch::tensor(image.scores, torch::kFloat64)},
                  {corners_of(image.truth), torch::tensor(image.truth_classes, torch::kInt64)}, crowd);
  }
  std::vector<std::vector<std::string>> rows = {{"class", "boxes", "ap50", "ap"}};
  std::vector<double> half, all;
  const auto values = precision.values();
  for (size_t c = 0; c < names.size(); ++c) {
    half.push_back(values[c][0]);
    all.push_back(mean_defined(values[c]));
    rows.push_back({names[c], std::to_string(precision.truths(static_cast<int64_t>(c) + 1)), number_text(half.back()),
                    number_text(all.back())});
  }
  rows.push_back({"mean", "", number_text(mean_defined(half)), number_text(mean_defined(all))});
  print_table(rows, arguments);
  return 0;
}

// PREDICTION: a CSV of score and label (0 or 1), and of the scan where there are several candidates of one.
int score_auc(const Arguments& arguments) {
  const CsvTable table = read_csv(arguments.get("PREDICTION"));
  std::vector<double> scores, labels;
  for (size_t row = 0; row < table.rows.size(); ++row) {
    scores.push_back(table.number(row, "score"));
    labels.push_back(table.number(row, "label"));
  }
  const auto numbers = scan_numbers(table);
  const auto s = torch::tensor(scores, torch::kFloat64), l = torch::tensor(labels, torch::kFloat64);
  const auto interval = auc_interval(s, l, torch::tensor(numbers, torch::kInt64), arguments.get<int64_t>("bootstraps"));
  print_table({{"auc", "from", "to", "samples", "scans"},
               {number_text(auc(s, l)), number_text(interval.low), number_text(interval.high),
                std::to_string(scores.size()), std::to_string(std::set(numbers.begin(), numbers.end()).size())}},
              arguments);
  return 0;
}

// PREDICTION and TRUTH: CSVs of the LUNA16 challenge: seriesuid, coordX, coordY, coordZ, and probability or
// diameter_mm.
int score_froc(const Arguments& arguments) {
  const CsvTable found = read_csv(arguments.get("PREDICTION")), truth = read_csv(arguments.get("TRUTH"));
  std::map<std::string, std::pair<std::vector<Mark>, std::vector<Nodule>>> scans;
  if (arguments.has("scans")) {
    const CsvTable listed = read_csv(arguments.get("scans"));
    for (size_t row = 0; row < listed.rows.size(); ++row) scans[listed.text(row, "seriesuid")];
  }
  const bool open = scans.empty();
  const auto scan_of = [&](const CsvTable& table, size_t row) {
    const std::string& name = table.text(row, "seriesuid");
    const auto known = scans.find(name);
    IVORY_CHECK(open || known != scans.end(), table.file, ": row ", row + 2, ": the scan '", name,
                "' is not one of --scans");
    return open ? &scans[name] : &known->second;
  };
  for (size_t row = 0; row < found.rows.size(); ++row)
    scan_of(found, row)->first.push_back({centre_of(found, row), found.number(row, "probability")});
  const auto add_nodules = [&](const CsvTable& table, bool excluded) {
    for (size_t row = 0; row < table.rows.size(); ++row)
      scan_of(table, row)->second.push_back({centre_of(table, row), table.number(row, "diameter_mm"), excluded});
  };
  add_nodules(truth, false);
  if (arguments.has("excluded")) add_nodules(read_csv(arguments.get("excluded")), true);
  Froc froc(arguments.get<int64_t>("most-marks"));
  for (const auto& [name, scan] : scans) froc.add(scan.first, scan.second);
  const auto draws = arguments.get<int64_t>("bootstraps");
  const FrocResult result = froc.result(draws);
  std::vector<std::vector<std::string>> rows = {{"false positives per scan", "sensitivity", "from", "to"}};
  const auto interval = [&](const Interval& of) {
    return draws > 0 ? std::pair(number_text(of.low), number_text(of.high)) : std::pair<std::string, std::string>();
  };
  for (size_t r = 0; r < FrocResult::rates.size(); ++r) {
    const auto [low, high] = interval(result.sensitivity_interval[r]);
    rows.push_back({number_text(FrocResult::rates[r]), number_text(result.sensitivity[r]), low, high});
  }
  const auto [low, high] = interval(result.score_interval);
  rows.push_back({"mean", number_text(result.score), low, high});
  print_table(rows, arguments);
  std::cout << scans.size() << " scans, " << result.nodules << " nodules, " << result.found << " found, "
            << result.false_positives << " false positives, " << result.marks_dropped << " marks beyond --most-marks\n";
  return 0;
}

int run_score(const std::vector<std::string>& words) {
  options::options_description visible(
      "usage: ivory score masks PREDICTION TRUTH    label maps, or folders of such by the same names: IoU, Dice, HD95, "
      "NSD\n"
      "       ivory score boxes PREDICTION TRUTH    COCO's results and annotations (JSON): average precision\n"
      "       ivory score auc PREDICTION            a CSV of score, label (0 or 1) and, optionally, scan\n"
      "       ivory score froc PREDICTION TRUTH     the LUNA16 challenge's CSVs: candidates and "
      "annotations\n\nOptions");
  visible.add_options()("output", options::value<std::string>(), "the table as CSV")(
      "labels", options::value<std::string>()->default_value(""), "masks: label ids, e.g. 1,2; else all of the truth")(
      "surface", options::value<std::string>()->default_value("voxels"),
      "masks: voxels (as MONAI), pooled (as medpy), elements (as DeepMind) or none")(
      "tolerance", options::value<double>()->default_value(1), "masks: of the NSD, in mm")(
      "precision", options::value<std::string>()->default_value("coco"), "boxes: coco (101 recalls), area or voc11")(
      "scans", options::value<std::string>(), "froc: a CSV of all seriesuid, with those that have no mark and nodule")(
      "excluded", options::value<std::string>(), "froc: a CSV of findings that are neither right nor wrong")(
      "most-marks", options::value<int64_t>()->default_value(100), "froc: marks of a scan that count")(
      "bootstraps", options::value<int64_t>()->default_value(1000), "auc, froc: draws of scans for the interval");
  const bool wants_help = words.empty() || words[0] == "--help" || words[0] == "-h";
  const bool one_file = !words.empty() && words[0] == "auc";
  const std::vector<std::string> positional = one_file ? std::vector<std::string>{"KIND", "PREDICTION"}
                                                       : std::vector<std::string>{"KIND", "PREDICTION", "TRUTH"};
  const auto arguments =
      parse_arguments(command, visible, wants_help ? std::vector<std::string>{"--help"} : words, positional);
  if (arguments.help) return words.empty() ? static_cast<int>(ExitCode::bad_request) : 0;
  for (const Kind& kind : kinds)
    if (arguments.get("KIND") == kind.name) return kind.run(arguments);
  throw bad_request(command, ": '", arguments.get("KIND"), "' is none of masks, boxes, auc, froc");
}

}  // namespace ivory::tools
