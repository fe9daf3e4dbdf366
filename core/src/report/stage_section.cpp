// The report's section of a stage.
#include <c10/util/StringUtil.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "plan/estimate.h"
#include "report/html.h"
#include "report/report_content.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using c10::str;
using html::number;
using nlohmann::json;

// An objective of the stage as the record names it. Where a stage has several, their values are logged as
// "objective/name".
struct Learned {
  std::string name;
  double chance = 0;               // what a term costs while nothing is learnt, or 0
  json measures = json::object();  // by the logged name: unit, and what it is compared with

  // In the units of the loss: a baseline, drawn beside it.
  bool is_baseline(const std::string& logged) const {
    return measures.contains(logged) && measures[logged].value("unit", "") == "loss";
  }
};

std::vector<Learned> objectives_of(const json& record) {
  std::vector<Learned> objectives;
  for (const auto& one : record.value("objectives", json::array())) {
    objectives.push_back({one.at("name"), one.at("plateau"), one.value("measures", json::object())});
  }
  if (objectives.empty()) objectives.push_back({});
  return objectives;
}

bool belongs(const std::string& logged, const Learned& objective, size_t count) {
  return count == 1 || logged.starts_with(objective.name + "/");
}

std::string bare(const std::string& logged) {
  return logged.substr(logged.rfind('/') + 1);
}

std::map<std::string, Series> series_of(const std::vector<json>& steps, const char* group) {
  std::map<std::string, Series> by_name;
  for (const auto& line : steps) {
    const json values = line.value(group, json::object());
    for (const auto& [name, value] : values.items()) {
      if (!value.is_number()) continue;
      Series& series = by_name[name];
      series.name = bare(name);
      series.x.push_back(line.at("step").get<double>());
      series.y.push_back(value.get<double>());
    }
  }
  return by_name;
}

LineChart measure_chart(Series series, const json& measure) {
  LineChart chart{
      .title = heading(series.name), .x_label = "step", .y_label = "value", .from_zero = true, .small = true};
  if (const std::string unit = measure.value("unit", ""); !unit.empty()) chart.y_label = unit;
  if (measure.contains("compare")) {
    const json& compare = measure["compare"];
    chart.references = {{str(compare.at("label").get<std::string>(), " ="), compare.at("value")}};
  }
  chart.series = {std::move(series)};
  return chart;
}

// The losses with their baselines, and what else was measured.
void add_curves(ReportSection& section, const json& record, const std::vector<json>& steps) {
  const auto objectives = objectives_of(record);
  const auto terms = series_of(steps, "terms"), diagnostics = series_of(steps, "diagnostics");
  for (const auto& objective : objectives) {
    LineChart loss{.title = str("Loss", objective.name.empty() ? "" : ": ", objective.name),
                   .x_label = "step",
                   .y_label = objective.chance > 0 ? "nats" : "loss"};
    if (objective.chance > 0) loss.references = {{"no better than a guess =", objective.chance}};
    for (const auto& [name, series] : terms) {
      if (belongs(name, objective, objectives.size())) loss.series.push_back(series);
    }
    for (const auto& [name, series] : diagnostics) {
      if (!belongs(name, objective, objectives.size())) continue;
      if (objective.is_baseline(name)) {
        loss.series.push_back(series);
        loss.series.back().name = str("baseline: ", series.name);
      } else {
        section.diagnostics.push_back(measure_chart(series, objective.measures.value(name, json::object())));
      }
    }
    section.curves.push_back(std::move(loss));
  }
}

// "62 % of", "298 times"
std::string relation(double value, double whole) {
  const double share = value / whole;
  return share < 10 ? str(std::lround(100 * share), " % of") : str(number(std::round(share)), " times");
}

// What the last epoch says about the losses, in words.
std::vector<Remark> findings_of(const json& record, const std::vector<json>& steps) {
  std::vector<Remark> remarks;
  const json last = record.value("last", json::object());
  const auto objectives = objectives_of(record);
  for (const auto& [term, series] : series_of(steps, "terms")) {
    if (!last.contains(term) || !last[term].is_number()) continue;  // NaN is null in JSON
    const double loss = last[term];
    for (const auto& objective : objectives) {
      if (!belongs(term, objective, objectives.size())) continue;
      if (objective.chance > 0) {
        const double below = objective.chance - loss;
        remarks.push_back(
            {str("The loss ", bare(term), " was ", number(loss), " in the last epoch, ", number(std::abs(below)),
                 below >= 0 ? " below " : " above ", number(objective.chance), ", what a uniform guess costs.")});
      }
      for (const auto& [name, value] : last.items()) {
        if (!objective.is_baseline(name) || !value.is_number() || !belongs(name, objective, objectives.size()))
          continue;
        remarks.push_back({str("The loss ", bare(term), " was ", number(loss), " in the last epoch, ",
                               relation(loss, value), " the baseline ", bare(name), " (", number(value), ").")});
      }
    }
  }
  return remarks;
}

// The last epoch's warnings; of earlier ones only that they were.
std::vector<Remark> warnings_of(const std::vector<json>& epochs) {
  std::vector<Remark> remarks;
  int64_t earlier = 0;
  for (size_t i = 0; i < epochs.size(); ++i) {
    const json warnings = epochs[i].value("warnings", json::array());
    if (i + 1 < epochs.size()) {
      earlier += !warnings.empty();
      continue;
    }
    for (const auto& warning : warnings) remarks.push_back({warning.get<std::string>(), true});
  }
  if (earlier > 0) {
    remarks.push_back(
        {str(earlier, " of ", epochs.size(), " epochs before the last had warnings: see metrics.jsonl.")});
  }
  return remarks;
}

// Validation scores of the online probes; empty without any.
LineChart probe_chart(const std::vector<json>& epochs) {
  LineChart chart{.title = "Frozen features on validation data", .x_label = "epoch", .y_label = "percent"};
  std::map<std::string, Series> by_task;
  for (const auto& line : epochs) {
    const json probes = line.value("probes", json::object());
    for (const auto& [task, scores] : probes.items()) {
      const std::string primary = scores.value("primary", "");
      if (!scores.contains(primary) || !scores[primary].is_number()) continue;
      Series& series = by_task[task];
      series.name = str(task, ", ", primary);
      series.x.push_back(line.at("epoch").get<double>() + 1);
      series.y.push_back(100 * scores[primary].get<double>());
    }
  }
  for (auto& [task, series] : by_task) chart.series.push_back(std::move(series));
  return chart;
}

std::vector<PictureGroup> prototypes_of(const json& pictures, const fs::path& folder) {
  std::map<std::string, PictureGroup> groups;
  for (const auto& one : pictures.value("prototypes", json::array())) {
    const std::string objective = one.at("objective"), caption = one.at("caption");
    PictureGroup& group = groups[objective];
    group.title = "Prototypes of " + objective;
    group.text =
        "A strip shows one prototype: the slices (of a volume, its middle slice) that match no other prototype better, "
        "the most similar first. The prototypes that most samples match come first.";
    group.strips = true;
    group.pictures.push_back({folder / "pictures" / one.at("file").get<std::string>(), caption,
                              caption + "; shown: " + one.at("samples").get<std::string>()});
  }
  std::vector<PictureGroup> result;
  for (auto& [name, group] : groups) result.push_back(std::move(group));
  return result;
}

std::vector<DotChart> attention_of(const json& pictures, const fs::path& folder) {
  if (!pictures.contains("attention")) return {};
  const json& attention = pictures["attention"];
  if (!attention.contains("axis")) return {};  // an earlier version's, which took every axis for that of the slices
  const bool slices = attention["axis"] == "slice";
  DotChart chart{
      .title = str(slices ? "Slices" : "Entries of the tokens", " that deformable attention samples in volume ",
                   attention.at("volume").get<std::string>(), ": a dot is a sampled position, a row an offset group"),
      .x_label = slices ? "slice (the volume's slices stand above their positions)" : "entry of the tokens",
      .low = -0.5,
      .high = attention.at("length").get<double>() - 0.5,
      .strip = slices ? folder / "pictures" / attention.at("file").get<std::string>() : fs::path()};
  const auto positions = attention.at("positions").get<std::vector<std::vector<std::vector<double>>>>();
  for (size_t layer = 0; layer < positions.size(); ++layer) {
    for (size_t group = 0; group < positions[layer].size(); ++group) {
      chart.rows.push_back({str("layer ", layer + 1, ", group ", group + 1), positions[layer][group]});
    }
  }
  return {chart};
}

}  // namespace

ReportSection stage_section(const Node& node, const json& record, const fs::path& folder) {
  ReportSection section{.title = node.label()};
  const std::string names = base::joined(objectives_of(record), ", ", [](const auto& one) { return one.name; });
  if (!names.empty()) section.facts.emplace_back("learns by", names);
  if (!node.from.empty()) section.facts.emplace_back("starts from", "stage " + node.from);
  const auto steps = read_metrics(folder, "step");
  const double last = steps.empty() ? 0 : steps.back().value("step", 0.0);
  section.facts.emplace_back(record.empty() ? "steps so far" : "steps", number(record.value("steps", last)));
  section.facts.emplace_back("batch", number(static_cast<double>(node.stage->train.batch_size)));
  if (!record.empty()) section.facts.emplace_back("training", base::duration_text(record.value("seconds", 0.0)));
  section.remarks = findings_of(record, steps);
  const auto epochs = read_metrics(folder, "epoch");
  for (auto& warning : warnings_of(epochs)) section.remarks.push_back(std::move(warning));
  add_curves(section, record, steps);
  if (auto probes = probe_chart(epochs); !probes.series.empty()) section.curves.push_back(std::move(probes));
  const json pictures = record.value("pictures", json::object());
  section.dots = attention_of(pictures, folder);
  section.pictures = prototypes_of(pictures, folder);
  return section;
}

}  // namespace ivory::experiment
