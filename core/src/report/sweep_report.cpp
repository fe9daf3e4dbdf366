#include "report/sweep_report.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/text.h"
#include "report/report_content.h"
#include "table/table_text.h"

namespace ivory::experiment {
namespace {

// "stage.slices.optimiser.lr" → "slices.optimiser.lr"; shorter where that is the name of no other key.
std::map<std::string, std::string> short_names(const std::vector<std::string>& keys) {
  const auto tail = [](const std::string& key, int parts) {
    size_t at = key.size();
    while (parts-- > 0 && at != std::string::npos && at > 0) at = key.rfind('.', at - 1);
    return at == std::string::npos ? key : key.substr(at + 1);
  };
  std::map<std::string, std::string> names;
  for (const auto& key : keys) {
    int parts = 1;
    const auto shared = [&](const std::string& other) {
      return other != key && tail(other, parts) == tail(key, parts);
    };
    while (parts < 4 && std::any_of(keys.begin(), keys.end(), shared)) ++parts;
    names[key] = tail(key, parts);
  }
  return names;
}

// Keys in the order in which they are met; those with one value alone tell points not apart.
std::vector<std::string> varied_keys(const SweepContent& content) {
  std::vector<std::string> keys;
  std::map<std::string, std::set<std::string>> values;
  for (const auto& one : content.points) {
    for (const auto& [key, value] : settings_of(one.settings)) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
      values[key].insert(value);
    }
  }
  std::erase_if(keys, [&](const std::string& key) { return values[key].size() < 2; });
  return keys;
}

std::string value_of(const SweepPoint& point, const std::string& key) {
  for (const auto& [name, value] : settings_of(point.settings)) {
    if (name == key) return value.size() > 1 && value.front() == '"' ? value.substr(1, value.size() - 2) : value;
  }
  return "–";
}

// "lr=0.1, epochs=3"
std::string short_point(const SweepPoint& point, const std::vector<std::string>& keys,
                        const std::map<std::string, std::string>& names) {
  if (keys.empty()) return point.settings;
  return base::joined(keys, ", ", [&](const auto& key) { return names.at(key) + "=" + value_of(point, key); });
}

const Table* first_table(const SweepContent& content) {
  for (const auto& one : content.points) {
    if (!one.folder.empty()) return &one.table;
  }
  return nullptr;
}

// The rows of all points below each other.
Table joint_table(const SweepContent& content, const std::vector<std::string>& keys,
                  const std::map<std::string, std::string>& names) {
  const Table* first = first_table(content);
  if (!first)
    return {.caption = "No point of the sweep has begun.", .notes = {}, .columns = {}, .rows = {}, .cells = {}};
  Table table{.caption = first->caption, .notes = first->notes, .columns = first->columns, .rows = {}, .cells = {}};
  table.unit = first->unit;
  table.smoke = first->smoke;
  const bool several = first->rows.size() > 1;
  for (const auto& one : content.points) {
    const std::string point = short_point(one, keys, names);
    for (size_t row = 0; row < first->rows.size(); ++row) {
      table.rows.push_back(point);
      if (several) table.groups.push_back(first->rows[row]);
      if (row < one.table.cells.size()) {
        table.cells.push_back(one.table.cells[row]);
        for (auto& cell : table.cells.back()) cell.rank = 0, cell.against = {};
      } else {
        table.cells.emplace_back(first->columns.size(), Cell{.repetitions = {}, .reason = "not begun"});
      }
    }
  }
  return table;
}

double shown_mean(const Table& table, size_t row, size_t column) {
  if (row >= table.cells.size() || table.cells[row][column].repetitions.empty()) return std::nan("");
  return shown(table.cells[row][column].mean(), table.unit);
}

ParallelChart parallel_of(const SweepContent& content, const Table& first, size_t column,
                          const std::vector<std::string>& keys, const std::map<std::string, std::string>& names) {
  ParallelChart chart{.title = first.columns[column] + " over the settings of the sweep",
                      .score = first.columns[column]};
  for (const auto& key : keys) chart.axes.push_back(names.at(key));
  const bool several = first.rows.size() > 1;
  if (several) chart.axes.push_back("row");
  for (const auto& one : content.points) {
    for (size_t row = 0; row < one.table.rows.size(); ++row) {
      const double score = shown_mean(one.table, row, column);
      if (std::isnan(score)) continue;
      ParallelChart::Line line{.score = score};
      for (const auto& key : keys) line.settings.push_back(value_of(one, key));
      if (several) line.settings.push_back(one.table.rows[row]);
      chart.lines.push_back(std::move(line));
    }
  }
  return chart;
}

// Of points that differ in more than the two settings, such as seeds, the mean.
HeatMap heat_map_of(const SweepContent& content, const Table& first, size_t row, size_t column,
                    const std::vector<std::string>& keys, const std::map<std::string, std::string>& names) {
  std::vector<std::string> across, up;
  for (const auto& one : content.points) {
    across.push_back(value_of(one, keys[0]));
    up.push_back(value_of(one, keys[1]));
  }
  const SettingScale x(across), y(up);
  std::vector<std::vector<double>> sums(y.values().size(), std::vector<double>(x.values().size())), counts = sums;
  for (size_t i = 0; i < content.points.size(); ++i) {
    const double score = shown_mean(content.points[i].table, row, column);
    if (std::isnan(score)) continue;
    sums[y.index(up[i])][x.index(across[i])] += score;
    ++counts[y.index(up[i])][x.index(across[i])];
  }
  for (size_t r = 0; r < sums.size(); ++r) {
    for (size_t c = 0; c < sums[r].size(); ++c)
      sums[r][c] = counts[r][c] > 0 ? sums[r][c] / counts[r][c] : std::nan("");
  }
  return {.title = first.columns[column] + (first.rows.size() > 1 ? ", " + first.rows[row] : ""),
          .x_label = names.at(keys[0]),
          .y_label = names.at(keys[1]),
          .columns = x.values(),
          .rows = y.values(),
          .values = std::move(sums)};
}

}  // namespace

SweepPoint sweep_point_of(const RunState& state, const std::string& folder) {
  Report report = make_report(state);
  SweepPoint point{.settings = state.experiment.sweep_point,
                   .folder = folder,
                   .table = std::move(report.table),
                   .parts = std::move(report.plan.parts),
                   .subtitle = std::move(report.subtitle),
                   .note = std::move(report.caveat),
                   .provenance = std::move(report.provenance)};
  for (const auto& part : state.plan.parts) point.identities.push_back(part.identity);
  return point;
}

ReportSection sweep_section(const SweepContent& content) {
  ReportSection section{.title = "sweep"};
  const auto keys = varied_keys(content);
  const auto names = short_names(keys);
  for (const auto& key : keys) {
    std::vector<std::string> values;
    for (const auto& one : content.points) values.push_back(value_of(one, key));
    section.facts.emplace_back(key, base::joined(SettingScale(values).values()));
  }
  const Table* first = first_table(content);
  if (!first || keys.empty()) return section;
  constexpr size_t most_maps = 12;
  auto settings = keys;
  std::erase(settings, "experiment.seed");
  for (size_t column = 0; column < first->columns.size(); ++column) {
    section.parallels.push_back(parallel_of(content, *first, column, keys, names));
    for (size_t row = 0; row < first->rows.size() && settings.size() == 2 && section.heat_maps.size() < most_maps;
         ++row) {
      if (row < first->cells.size() && first->cells[row][column].absent) continue;
      section.heat_maps.push_back(heat_map_of(content, *first, row, column, settings, names));
    }
  }
  return section;
}

Report make_sweep_report(const SweepContent& content) {
  Report report{.title = content.name + " · sweep of " + std::to_string(content.points.size()) + " points"};
  report.plan.title = "The parts of all points; what points share is one part";
  const auto keys = varied_keys(content);
  const auto names = short_names(keys);
  report.table = joint_table(content, keys, names);
  if (report.table.smoke) report.title += " · SMOKE RUN, no result";
  report.sections.push_back(sweep_section(content));
  ReportSection points{.title = "points"};
  std::set<std::string> seen;
  std::map<PartState, size_t> counts;
  for (const auto& one : content.points) {
    std::map<PartState, size_t> own;
    for (size_t i = 0; i < one.parts.size(); ++i) {
      ++own[one.parts[i].status.state];
      if (!one.identities[i].empty() && !seen.insert(one.identities[i]).second) continue;
      ++counts[one.parts[i].status.state];
      report.plan.parts.push_back(one.parts[i]);
      report.plan.parts.back().label += " (" + short_point(one, keys, names) + ")";
    }
    const std::string text = short_point(one, keys, names);
    if (one.folder.empty()) {
      points.remarks.push_back({text + ": not begun"});
      continue;
    }
    points.links.push_back({one.folder + "/report.html", text, progress_text(own)});
    if (report.subtitle.empty()) report.subtitle = one.subtitle;
    if (report.caveat.empty()) report.caveat = one.note;
    if (report.provenance.empty()) report.provenance = one.provenance;
  }
  report.progress = progress_text(counts);
  std::stable_sort(report.plan.parts.begin(), report.plan.parts.end(), [](const ChartPart& a, const ChartPart& b) {
    return a.kind == PartKind::stage && b.kind == PartKind::task;
  });
  report.sections.push_back(std::move(points));
  return report;
}

}  // namespace ivory::experiment
