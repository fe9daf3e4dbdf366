#include "report/task_section.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "report/html.h"
#include "report/metrics_lines.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using c10::str;
using nlohmann::json;

struct Repetition {
  const Part* part;
  std::optional<Record> record;  // of one that is finished
  fs::path folder;
};

// The label of the table's row, or where the weights come from.
std::string row_name(const RunState& state, const std::string& from) {
  for (const auto& row : state.experiment.table.rows) {
    if (row.from == from) return row.label;
  }
  return "from " + from;
}

// "iou/frontal" → "IoU, frontal"
std::string score_name(const std::string& name) {
  const size_t slash = name.find('/');
  std::string text = name.substr(0, slash);
  if (text == "iou") {
    text = "IoU";
  } else if (text == "auc") {
    text = "AUC";
  } else {
    text = heading(text);
  }
  return slash == std::string::npos ? text : text + ", " + name.substr(slash + 1);
}

// Finished ones and those on their way.
std::vector<Repetition> repetitions_of(const RunState& state, const config::TaskSpec& task) {
  std::vector<Repetition> repetitions;
  for (const auto& part : state.plan.parts) {
    if (part.kind != PartKind::task || part.name != task.name || part.identity.empty()) continue;
    auto record = state.store.record(part);
    const auto folder = state.store.folder(part);
    if (!record && !fs::exists(folder / "metrics.jsonl")) continue;
    repetitions.push_back({&part, std::move(record), folder});
  }
  return repetitions;
}

// What is drawn where a row has several repetitions is said.
std::string curves_title(const std::string& what, const std::vector<Repetition>& repetitions) {
  for (size_t i = 1; i < repetitions.size(); ++i) {
    if (repetitions[i].part->from == repetitions[i - 1].part->from) {
      return what + ": every repetition (thin), mean and standard deviation";
    }
  }
  return what;
}

LineChart loss_chart(const RunState& state, const std::vector<Repetition>& repetitions) {
  LineChart chart{.title = curves_title("Training loss", repetitions),
                  .x_label = "epoch",
                  .y_label = "mean loss of the epoch",
                  .spread = true};
  for (const auto& repetition : repetitions) {
    Series series{.name = row_name(state, repetition.part->from)};
    for (const auto& line : read_metrics(repetition.folder, "epoch")) {
      series.x.push_back(line.at("epoch").get<double>() + 1);
      series.y.push_back(line.at("means").value("loss", std::nan("")));
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

TaskRecord first_finished(const std::vector<Repetition>& repetitions) {
  const auto first = std::ranges::find_if(repetitions, [](const Repetition& one) { return one.record.has_value(); });
  return first == repetitions.end() ? TaskRecord() : first->record->task;
}

LineChart validation_chart(const RunState& state, const std::vector<Repetition>& repetitions) {
  const auto scores = first_finished(repetitions).validation;
  if (scores.empty()) return {};
  const std::string name = scores.front().name;
  LineChart chart{.title = curves_title("Validation " + score_name(name), repetitions),
                  .x_label = "epoch",
                  .y_label = "percent",
                  .spread = true};
  for (const auto& repetition : repetitions) {
    Series series{.name = row_name(state, repetition.part->from)};
    for (const auto& line : read_metrics(repetition.folder, "epoch")) {
      const json values = line.value("validation", json::object());
      if (!values.contains(name) || !values[name].is_number()) continue;
      series.x.push_back(line.at("epoch").get<double>() + 1);
      series.y.push_back(100 * values[name].get<double>());
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

// Scores down, rows of the experiment across.
Table score_table(const RunState& state, const config::TaskSpec& task, const std::vector<Repetition>& repetitions) {
  Table table{.caption = "Test scores of the weights with the best validation score"};
  std::vector<std::string> names;
  for (const auto& score : first_finished(repetitions).test) names.push_back(score.name);
  for (const auto& name : names) table.rows.push_back(score_name(name));
  table.cells.resize(names.size());
  for (const auto& from : task.from) {
    table.columns.push_back(row_name(state, from));
    for (size_t row = 0; row < names.size(); ++row) {
      Cell cell{.repetitions = {}, .reason = "not finished"};
      for (const auto& repetition : repetitions) {
        if (repetition.part->from != from || !repetition.record) continue;
        for (const auto& score : repetition.record->task.test) {
          if (score.name != names[row]) continue;
          if (!std::isnan(score.value)) {
            cell.repetitions.push_back(score.value);
          } else {
            cell.reason = str("the score of repetition ", repetition.part->repetition + 1, " is not a number");
          }
        }
      }
      table.cells[row].push_back(std::move(cell));
    }
  }
  return table;
}

// Of every test case the mean over the repetitions that both rows have it in.
std::map<std::string, ScatterChart::Point> common_cases(const std::vector<Repetition>& repetitions,
                                                        const std::string& baseline, const std::string& from) {
  struct Sums {
    double x = 0, y = 0, count = 0;
  };
  std::map<std::string, Sums> sums;
  for (const auto& one : repetitions) {
    if (one.part->from != from || !one.record) continue;
    for (const auto& other : repetitions) {
      if (other.part->from != baseline || other.part->repetition != one.part->repetition || !other.record) continue;
      std::map<std::string, double> there;
      for (const auto& [name, value] : other.record->task.cases) {
        if (!std::isnan(value)) there[name] = value;
      }
      for (const auto& [name, value] : one.record->task.cases) {
        const auto same = there.find(name);
        if (same == there.end() || std::isnan(value)) continue;
        Sums& sum = sums[same->first];
        sum.x += same->second;
        sum.y += value;
        ++sum.count;
      }
    }
  }
  std::map<std::string, ScatterChart::Point> points;
  for (const auto& [name, sum] : sums) points[name] = {100 * sum.x / sum.count, 100 * sum.y / sum.count, name};
  return points;
}

// Every row against the compared one, else the first; without cases in common nothing.
std::vector<ScatterChart> scatter_of(const RunState& state, const config::TaskSpec& task,
                                     const std::vector<Repetition>& repetitions) {
  const auto& compare = state.experiment.table.compare;
  if (task.from.empty()) return {};
  const std::string baseline =
      std::count(task.from.begin(), task.from.end(), compare) > 0 ? compare : task.from.front();
  ScatterChart chart{.title = "Test cases: each row against " + row_name(state, baseline) + ", mean over repetitions",
                     .x_label = row_name(state, baseline) + ", percent",
                     .y_label = "the other row, percent"};
  for (const auto& from : task.from) {
    if (from == baseline) continue;
    ScatterChart::Group group{.name = row_name(state, from)};
    for (auto& [name, point] : common_cases(repetitions, baseline, from)) group.points.push_back(std::move(point));
    if (!group.points.empty()) chart.groups.push_back(std::move(group));
  }
  if (chart.groups.empty()) return {};
  return {std::move(chart)};
}

PictureGroup pictures_of(const RunState& state, const Repetition& repetition) {
  PictureGroup group{.title = str("Test samples: ", row_name(state, repetition.part->from), ", repetition ",
                                  repetition.part->repetition + 1)};
  for (const auto& one : repetition.record->task.pictures) {
    if (!one.file.empty()) group.pictures.push_back({repetition.folder / "pictures" / one.file, one.caption});
  }
  return group;
}

}  // namespace

ReportSection task_section(const RunState& state, const config::TaskSpec& task) {
  ReportSection section{.title = "task " + task.name};
  for (const auto& [label, reason] : state.failures) {
    if (label.starts_with("task " + task.name + ",")) section.remarks.push_back({label + ": " + reason, true});
  }
  const auto repetitions = repetitions_of(state, task);
  double seconds = 0;
  size_t finished = 0;
  for (const auto& repetition : repetitions) {
    if (!repetition.record) continue;
    ++finished;
    seconds += repetition.record->seconds;
  }
  section.facts = {{"task", task.plugin.name}, {"finished repetitions", std::to_string(finished)}};
  if (repetitions.empty()) return section;
  if (finished < repetitions.size()) section.facts.emplace_back("begun", std::to_string(repetitions.size() - finished));
  if (finished > 0) section.facts.emplace_back("training, all repetitions", base::duration_text(seconds));
  for (const auto& [name, count] : first_finished(repetitions).counts) {
    section.facts.emplace_back("test " + name, html::number(static_cast<double>(count)));
  }
  for (auto& chart : {loss_chart(state, repetitions), validation_chart(state, repetitions)}) {
    const auto drawn = [](const Series& series) { return !series.x.empty(); };  // a task that trains nothing has none
    if (std::any_of(chart.series.begin(), chart.series.end(), drawn)) section.curves.push_back(chart);
  }
  if (finished == 0) return section;
  section.table = score_table(state, task, repetitions);
  section.scatters = scatter_of(state, task, repetitions);
  for (const auto& from : task.from) {
    const auto first = std::find_if(repetitions.begin(), repetitions.end(), [&](const Repetition& repetition) {
      return repetition.part->from == from && repetition.record;
    });
    if (first != repetitions.end()) section.pictures.push_back(pictures_of(state, *first));
  }
  return section;
}

}  // namespace ivory::experiment
