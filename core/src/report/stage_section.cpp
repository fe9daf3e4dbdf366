#include "report/stage_section.h"

#include <c10/util/StringUtil.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "report/html.h"
#include "report/metrics_lines.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using c10::str;
using html::number;
using nlohmann::json;

// The objectives that the record names. Where a stage has several, their values are logged as "objective/name".
std::vector<RecordedObjective> objectives_of(const StageRecord& record) {
  return record.objectives.empty() ? std::vector{RecordedObjective{}} : record.objectives;
}

RecordedMeasure measure_of(const RecordedObjective& objective, const std::string& logged) {
  const auto found = objective.measures.find(logged);
  return found == objective.measures.end() ? RecordedMeasure() : found->second;
}

// In the units of the loss: a baseline, drawn beside it.
bool is_baseline(const RecordedObjective& objective, const std::string& logged) {
  return measure_of(objective, logged).unit == "loss";
}

bool belongs(const std::string& logged, const RecordedObjective& objective, size_t count) {
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

LineChart measure_chart(Series series, const RecordedMeasure& measure) {
  LineChart chart{
      .title = heading(series.name), .x_label = "step", .y_label = "value", .from_zero = true, .small = true};
  if (!measure.unit.empty()) chart.y_label = measure.unit;
  if (measure.compare) chart.references = {{str(measure.compare->name, " ="), measure.compare->value}};
  chart.series = {std::move(series)};
  return chart;
}

// The losses with their baselines, and what else was measured.
void add_curves(ReportSection& section, const StageRecord& record, const std::vector<json>& steps) {
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
      if (is_baseline(objective, name)) {
        loss.series.push_back(series);
        loss.series.back().name = str("baseline: ", series.name);
      } else {
        section.diagnostics.push_back(measure_chart(series, measure_of(objective, name)));
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
std::vector<Remark> findings_of(const StageRecord& record, const std::vector<json>& steps) {
  std::vector<Remark> remarks;
  const auto& last = record.last;
  const auto objectives = objectives_of(record);
  for (const auto& [term, series] : series_of(steps, "terms")) {
    if (!last.contains(term) || std::isnan(last.at(term))) continue;
    const double loss = last.at(term);
    for (const auto& objective : objectives) {
      if (!belongs(term, objective, objectives.size())) continue;
      if (objective.chance > 0) {
        const double below = objective.chance - loss;
        remarks.push_back(
            {str("The loss ", bare(term), " was ", number(loss), " in the last epoch, ", number(std::abs(below)),
                 below >= 0 ? " below " : " above ", number(objective.chance), ", what a uniform guess costs.")});
      }
      for (const auto& [name, value] : last) {
        if (!is_baseline(objective, name) || std::isnan(value) || !belongs(name, objective, objectives.size()))
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

std::vector<PictureGroup> prototypes_of(const StagePictures& pictures, const fs::path& folder) {
  std::map<std::string, PictureGroup> groups;
  for (const auto& one : pictures.prototypes) {
    PictureGroup& group = groups[one.objective];
    group.title = "Prototypes of " + one.objective;
    group.text =
        "A strip shows one prototype: the slices (of a volume, its middle slice) that match no other prototype better, "
        "the most similar first. The prototypes that most samples match come first.";
    group.strips = true;
    group.pictures.push_back({folder / "pictures" / one.file, one.caption, one.caption + "; shown: " + one.samples});
  }
  std::vector<PictureGroup> result;
  for (auto& [name, group] : groups) result.push_back(std::move(group));
  return result;
}

std::vector<DotChart> attention_of(const StagePictures& pictures, const fs::path& folder) {
  if (!pictures.attention) return {};
  const AttentionPicture& attention = *pictures.attention;
  const bool slices = attention.of_slices;
  DotChart chart{
      .title = str(slices ? "Slices" : "Entries of the tokens", " that deformable attention samples in volume ",
                   attention.volume, ": a dot is a sampled position, a row an offset group"),
      .x_label = slices ? "slice (the volume's slices stand above their positions)" : "entry of the tokens",
      .low = -0.5,
      .high = static_cast<double>(attention.length) - 0.5,
      .strip = slices ? folder / "pictures" / attention.file : fs::path()};
  for (size_t layer = 0; layer < attention.positions.size(); ++layer) {
    for (size_t group = 0; group < attention.positions[layer].size(); ++group) {
      chart.rows.push_back({str("layer ", layer + 1, ", group ", group + 1), attention.positions[layer][group]});
    }
  }
  return {chart};
}

}  // namespace

ReportSection stage_section(const Part& part, const std::optional<Record>& finished, const fs::path& folder) {
  ReportSection section{.title = part.label()};
  const StageRecord record = finished ? finished->stage : StageRecord();
  const std::string names = base::joined(objectives_of(record), ", ", &RecordedObjective::name);
  if (!names.empty()) section.facts.emplace_back("learns by", names);
  if (!part.from.empty()) section.facts.emplace_back("starts from", "stage " + part.from);
  const auto steps = read_metrics(folder, "step");
  const double last = steps.empty() ? 0 : steps.back().value("step", 0.0);
  section.facts.emplace_back(finished ? "steps" : "steps so far",
                             number(finished ? static_cast<double>(finished->steps) : last));
  section.facts.emplace_back("batch", number(static_cast<double>(part.stage->train.batch_size)));
  if (finished) section.facts.emplace_back("training", base::duration_text(finished->seconds));
  section.remarks = findings_of(record, steps);
  const auto epochs = read_metrics(folder, "epoch");
  for (auto& warning : warnings_of(epochs)) section.remarks.push_back(std::move(warning));
  add_curves(section, record, steps);
  if (auto probes = probe_chart(epochs); !probes.series.empty()) section.curves.push_back(std::move(probes));
  section.dots = attention_of(record.pictures, folder);
  section.pictures = prototypes_of(record.pictures, folder);
  return section;
}

}  // namespace ivory::experiment
