// The report's section of a task: rows and trials side by side.
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "plan/estimate.h"
#include "report/html.h"
#include "report/report_content.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using c10::str;
using nlohmann::json;

struct Trial {
  const Node* node;
  json record;  // null while it is not finished
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
std::vector<Trial> trials_of(const RunState& state, const config::TaskSpec& task) {
  std::vector<Trial> trials;
  for (const auto& node : state.plan.nodes) {
    if (node.kind != NodeKind::task || node.name != task.name || node.identity.empty()) continue;
    auto record = state.store.record(node);
    const auto folder = state.store.folder(node);
    if (!record && !fs::exists(folder / "metrics.jsonl")) continue;
    trials.push_back({&node, record ? std::move(*record) : json(), folder});
  }
  return trials;
}

// What is drawn where a row has several trials is said.
std::string curves_title(const std::string& what, const std::vector<Trial>& trials) {
  for (size_t i = 1; i < trials.size(); ++i) {
    if (trials[i].node->from == trials[i - 1].node->from) {
      return what + ": every trial (thin), mean and standard deviation";
    }
  }
  return what;
}

LineChart loss_chart(const RunState& state, const std::vector<Trial>& trials) {
  LineChart chart{.title = curves_title("Training loss", trials),
                  .x_label = "epoch",
                  .y_label = "mean loss of the epoch",
                  .spread = true};
  for (const auto& trial : trials) {
    Series series{.name = row_name(state, trial.node->from)};
    for (const auto& line : read_metrics(trial.folder, "epoch")) {
      series.x.push_back(line.at("epoch").get<double>() + 1);
      series.y.push_back(line.at("means").value("loss", std::nan("")));
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

json first_finished(const std::vector<Trial>& trials) {
  const auto first = std::find_if(trials.begin(), trials.end(), [](const Trial& one) { return !one.record.is_null(); });
  return first == trials.end() ? json::object() : first->record;
}

LineChart validation_chart(const RunState& state, const std::vector<Trial>& trials) {
  const json scores = first_finished(trials).value("validation", json::array());
  if (scores.empty()) return {};
  const std::string name = scores.front().at("name");
  LineChart chart{.title = curves_title("Validation " + score_name(name), trials),
                  .x_label = "epoch",
                  .y_label = "percent",
                  .spread = true};
  for (const auto& trial : trials) {
    Series series{.name = row_name(state, trial.node->from)};
    for (const auto& line : read_metrics(trial.folder, "epoch")) {
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
Table score_table(const RunState& state, const config::TaskSpec& task, const std::vector<Trial>& trials) {
  Table table{.caption = "Test scores of the weights with the best validation score"};
  std::vector<std::string> names;
  for (const auto& score : first_finished(trials).value("test", json::array())) names.push_back(score.at("name"));
  for (const auto& name : names) table.rows.push_back(score_name(name));
  table.cells.resize(names.size());
  for (const auto& from : task.from) {
    table.columns.push_back(row_name(state, from));
    for (size_t row = 0; row < names.size(); ++row) {
      Cell cell{.trials = {}, .reason = "not finished"};
      for (const auto& trial : trials) {
        if (trial.node->from != from || trial.record.is_null()) continue;
        for (const auto& score : trial.record.at("test")) {
          if (score.at("name") != names[row]) continue;
          const json& value = score.at("value");
          if (value.is_number()) {
            cell.trials.push_back(value);
          } else {
            cell.reason = str("the score of trial ", trial.node->trial + 1, " is not a number");
          }
        }
      }
      table.cells[row].push_back(std::move(cell));
    }
  }
  return table;
}

// Of every test case the mean over the trials that both rows have it in.
std::map<std::string, ScatterChart::Point> common_cases(const std::vector<Trial>& trials, const std::string& baseline,
                                                        const std::string& from) {
  struct Sums {
    double x = 0, y = 0, count = 0;
  };
  std::map<std::string, Sums> sums;
  for (const auto& one : trials) {
    if (one.node->from != from || one.record.is_null()) continue;
    for (const auto& other : trials) {
      if (other.node->from != baseline || other.node->trial != one.node->trial || other.record.is_null()) continue;
      std::map<std::string, double> there;
      for (const auto& scored : other.record.value("cases", json::array())) {
        if (scored.at(1).is_number()) there[scored.at(0).get<std::string>()] = scored.at(1).get<double>();
      }
      for (const auto& scored : one.record.value("cases", json::array())) {
        const auto same = there.find(scored.at(0).get<std::string>());
        if (same == there.end() || !scored.at(1).is_number()) continue;
        Sums& sum = sums[same->first];
        sum.x += same->second;
        sum.y += scored.at(1).get<double>();
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
                                     const std::vector<Trial>& trials) {
  const auto& compare = state.experiment.table.compare;
  if (task.from.empty()) return {};
  const std::string baseline =
      std::count(task.from.begin(), task.from.end(), compare) > 0 ? compare : task.from.front();
  ScatterChart chart{.title = "Test cases: each row against " + row_name(state, baseline) + ", mean over trials",
                     .x_label = row_name(state, baseline) + ", percent",
                     .y_label = "the other row, percent"};
  for (const auto& from : task.from) {
    if (from == baseline) continue;
    ScatterChart::Group group{.name = row_name(state, from)};
    for (auto& [name, point] : common_cases(trials, baseline, from)) group.points.push_back(std::move(point));
    if (!group.points.empty()) chart.groups.push_back(std::move(group));
  }
  if (chart.groups.empty()) return {};
  return {std::move(chart)};
}

PictureGroup pictures_of(const RunState& state, const Trial& trial) {
  PictureGroup group{.title =
                         str("Test samples: ", row_name(state, trial.node->from), ", trial ", trial.node->trial + 1)};
  for (const auto& one : trial.record.value("pictures", json::array())) {
    if (!one.is_object()) continue;
    group.pictures.push_back({trial.folder / "pictures" / one.at("file").get<std::string>(), one.at("caption")});
  }
  return group;
}

}  // namespace

ReportSection task_section(const RunState& state, const config::TaskSpec& task) {
  ReportSection section{.title = "task " + task.name};
  for (const auto& [label, reason] : state.failures) {
    if (label.starts_with("task " + task.name + ",")) section.remarks.push_back({label + ": " + reason, true});
  }
  const auto trials = trials_of(state, task);
  double seconds = 0;
  size_t finished = 0;
  for (const auto& trial : trials) {
    if (trial.record.is_null()) continue;
    ++finished;
    seconds += trial.record.value("seconds", 0.0);
  }
  section.facts = {{"task", task.plugin.name}, {"finished trials", std::to_string(finished)}};
  if (trials.empty()) return section;
  if (finished < trials.size()) section.facts.emplace_back("begun", std::to_string(trials.size() - finished));
  if (finished > 0) section.facts.emplace_back("training, all trials", base::duration_text(seconds));
  for (const auto& count : first_finished(trials).value("counts", json::array())) {
    section.facts.emplace_back("test " + count.at(0).get<std::string>(), html::number(count.at(1).get<double>()));
  }
  for (auto& chart : {loss_chart(state, trials), validation_chart(state, trials)}) {
    const auto drawn = [](const Series& series) { return !series.x.empty(); };  // a task that trains nothing has none
    if (std::any_of(chart.series.begin(), chart.series.end(), drawn)) section.curves.push_back(chart);
  }
  if (finished == 0) return section;
  section.table = score_table(state, task, trials);
  section.scatters = scatter_of(state, task, trials);
  for (const auto& from : task.from) {
    const auto first = std::find_if(trials.begin(), trials.end(), [&](const Trial& trial) {
      return trial.node->from == from && !trial.record.is_null();
    });
    if (first != trials.end()) section.pictures.push_back(pictures_of(state, *first));
  }
  return section;
}

}  // namespace ivory::experiment
