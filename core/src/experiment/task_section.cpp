// The report's section of a task: rows and trials side by side.
#include <c10/util/StringUtil.h>

#include <algorithm>

#include "experiment/estimate.h"
#include "experiment/html.h"
#include "experiment/report_content.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using c10::str;
using nlohmann::json;

struct Trial {
  const Node* node;
  json record;
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

std::vector<Trial> finished(const RunState& state, const config::TaskSpec& task) {
  std::vector<Trial> trials;
  for (const auto& node : state.plan.nodes) {
    if (node.kind != NodeKind::task || node.name != task.name) continue;
    if (auto record = state.store.record(node)) {
      trials.push_back({&node, std::move(*record), state.store.folder(node)});
    }
  }
  return trials;
}

LineChart loss_chart(const RunState& state, const std::vector<Trial>& trials) {
  LineChart chart{.title = "Training loss, every trial", .x_label = "epoch", .y_label = "mean loss of the epoch"};
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

LineChart validation_chart(const RunState& state, const std::vector<Trial>& trials) {
  const json scores = trials.front().record.value("validation", json::array());
  if (scores.empty()) return {};
  const std::string name = scores.front().at("name");
  LineChart chart{
      .title = "Validation " + score_name(name) + ", every trial", .x_label = "epoch", .y_label = "percent"};
  for (const auto& trial : trials) {
    Series series{.name = row_name(state, trial.node->from)};
    for (const auto& line : read_metrics(trial.folder, "epoch")) {
      const json values = line.value("validation", json::object());
      if (!values.contains(name)) continue;
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
  for (const auto& score : trials.front().record.value("test", json::array())) names.push_back(score.at("name"));
  for (const auto& name : names) table.rows.push_back(score_name(name));
  table.cells.resize(names.size());
  for (const auto& from : task.from) {
    table.columns.push_back(row_name(state, from));
    for (size_t row = 0; row < names.size(); ++row) {
      Cell cell{.trials = {}, .reason = "not finished"};
      for (const auto& trial : trials) {
        if (trial.node->from != from) continue;
        for (const auto& score : trial.record.at("test")) {
          if (score.at("name") == names[row]) cell.trials.push_back(score.at("value"));
        }
      }
      table.cells[row].push_back(std::move(cell));
    }
  }
  return table;
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
  const auto trials = finished(state, task);
  section.facts = {{"task", task.plugin.name}, {"finished trials", std::to_string(trials.size())}};
  if (trials.empty()) return section;
  double seconds = 0;
  for (const auto& trial : trials) seconds += trial.record.value("seconds", 0.0);
  section.facts.emplace_back("training, all trials", duration_text(seconds));
  const json counts = trials.front().record.value("counts", json::array());
  for (const auto& count : counts) {
    section.facts.emplace_back("test " + count.at(0).get<std::string>(), html::number(count.at(1).get<double>()));
  }
  for (auto& chart : {loss_chart(state, trials), validation_chart(state, trials)}) {
    const auto drawn = [](const Series& series) { return !series.x.empty(); };  // a task that trains nothing has none
    if (std::any_of(chart.series.begin(), chart.series.end(), drawn)) section.curves.push_back(chart);
  }
  section.table = score_table(state, task, trials);
  for (const auto& from : task.from) {
    const auto first = std::find_if(trials.begin(), trials.end(), [&](const Trial& t) { return t.node->from == from; });
    if (first != trials.end()) section.pictures.push_back(pictures_of(state, *first));
  }
  return section;
}

}  // namespace ivory::experiment
