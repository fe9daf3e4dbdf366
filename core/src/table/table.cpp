#include "table/table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "base/text.h"
#include "table/table_text.h"

namespace ivory::experiment {
namespace {

constexpr const char* not_finished = "not finished";

// The score a column wants of one record; the first (primary) one when it names none.
std::optional<double> score_of(const Record& record, const std::string& name) {
  for (const auto& score : record.task.test) {
    if (name.empty() || score.name == name) return score.value;
  }
  return {};
}

bool belongs(const Part& part, const config::TableRow& row, const config::TableColumn& column) {
  if (part.kind != PartKind::task || part.from != row.from) return false;
  return part.name == column.task || std::count(column.others.begin(), column.others.end(), part.name) > 0;
}

// A repetition whose score is not a number leaves the others theirs.
void add_repetition(Cell& cell, const Part& part, double score, bool several_tasks) {
  if (!std::isnan(score)) {
    cell.repetitions.push_back(score);
    cell.pairs.emplace_back(part.name, part.repetition);
    return;
  }
  const std::string repetition =
      (several_tasks ? "task " + part.name + ", repetition " : "repetition ") + std::to_string(part.repetition + 1);
  cell.reason += (cell.reason.empty() ? "" : "; ") + ("the score of " + repetition + " is not a number");
}

void fill(Cell& cell, const config::TableRow& row, const config::TableColumn& column, const Plan& plan,
          const Store& store) {
  bool planned = false;
  for (const auto& part : plan.parts) {
    if (!belongs(part, row, column)) continue;
    planned = true;
    if (const auto record = store.record(part)) {
      if (const auto score = score_of(*record, column.score)) {
        add_repetition(cell, part, *score, !column.others.empty());
      } else {
        cell.reason = "the task reports no score '" + column.score + "', only " +
                      base::joined(record->task.test, ", ", &NamedValue::name);
      }
    } else if (part.identity.empty()) {
      cell.reason = "its data set is missing";
    }
  }
  if (!planned) cell.reason = "no task of this column begins from this row";
  if (cell.repetitions.empty() && cell.reason.empty()) cell.reason = not_finished;
}

Cell empty_cell(const config::TableRow& row, const config::TableColumn& column, const config::TableSpec& spec) {
  Cell cell;
  cell.reason = row.missing.empty() ? column.missing : row.missing;
  cell.absent = !cell.reason.empty();
  if (const auto found = spec.paper.find(row.reference); found != spec.paper.end()) {
    if (const auto figure = found->second.find(column.reference); figure != found->second.end()) {
      cell.paper = figure->second;
    }
  }
  return cell;
}

// Of a point that its sweep's policy stopped.
std::string stopped_early(const Plan& plan, const Store& store) {
  for (const auto& part : plan.parts) {
    if (const auto stopped = store.early_stop(part)) return stopped->reason.empty() ? "stopped early" : stopped->reason;
  }
  return "";
}

// Over the repetitions of one number, which share their splits, their decoder's first weights and the order of their
// data.
std::optional<eval::PairedTest> test_against(const Cell& cell, const Cell& baseline) {
  std::vector<double> here, there;
  for (size_t i = 0; i < cell.repetitions.size(); ++i) {
    const auto same = std::find(baseline.pairs.begin(), baseline.pairs.end(), cell.pairs[i]);
    if (same == baseline.pairs.end()) continue;
    const double other = baseline.repetitions[static_cast<size_t>(same - baseline.pairs.begin())];
    if (!std::isfinite(cell.repetitions[i]) || !std::isfinite(other)) continue;
    here.push_back(cell.repetitions[i]);
    there.push_back(other);
  }
  if (here.size() < 2) return {};
  return eval::paired_t_test(here, there);
}

void compare_rows(Table& table, const config::TableSpec& spec) {
  if (spec.compare.empty()) return;
  const auto row =
      std::find_if(spec.rows.begin(), spec.rows.end(), [&](const auto& r) { return r.from == spec.compare; });
  if (row == spec.rows.end()) return;
  const auto baseline = static_cast<size_t>(row - spec.rows.begin());
  table.compared = row->label;
  for (size_t r = 0; r < table.rows.size(); ++r) {
    if (r == baseline) continue;
    for (size_t c = 0; c < table.columns.size(); ++c) {
      table.cells[r][c].against = test_against(table.cells[r][c], table.cells[baseline][c]);
    }
  }
}

}  // namespace

void rank_cells(Table& table) {
  for (size_t column = 0; column < table.columns.size(); ++column) {
    std::vector<double> means;
    for (const auto& row : table.cells) {
      if (!row[column].repetitions.empty()) means.push_back(row[column].mean());
    }
    if (means.size() < 2) continue;
    std::sort(means.rbegin(), means.rend());
    const auto second = std::find_if(means.begin(), means.end(), [&](double mean) { return mean < means.front(); });
    for (auto& row : table.cells) {
      if (row[column].repetitions.empty()) continue;
      const double mean = row[column].mean();
      row[column].rank = mean == means.front() ? 1 : second != means.end() && mean == *second ? 2 : 0;
    }
  }
}

double Cell::mean() const {
  return std::accumulate(repetitions.begin(), repetitions.end(), 0.0) / static_cast<double>(repetitions.size());
}

double Cell::deviation() const {
  if (repetitions.size() < 2) return 0;
  double squares = 0;
  for (const double value : repetitions) squares += (value - mean()) * (value - mean());
  return std::sqrt(squares / static_cast<double>(repetitions.size() - 1));
}

Table empty_table(const config::Experiment& experiment) {
  const config::TableSpec& spec = experiment.table;
  Table table{.caption = spec.caption, .source = spec.source, .smoke = experiment.smoke};
  if (table.smoke) {
    table.caption = "SMOKE RUN, no result" + (table.caption.empty() ? "" : ": " + table.caption);
    table.notes.push_back(
        "Smoke run: a few steps at a tiny size on generated volumes. It shows that every cell runs; its numbers say "
        "nothing about any method.");
  }
  if (!experiment.note.empty()) table.notes.push_back(experiment.note);
  for (const auto& data : experiment.data) {
    if (data.layout == "phantom" && !table.smoke) {
      table.notes.push_back("Data set " + data.name + " is the embedded phantom: generated volumes, not real scans.");
    }
  }
  for (const auto& column : spec.columns) table.columns.push_back(column.label);
  const bool grouped =
      std::any_of(spec.rows.begin(), spec.rows.end(), [](const auto& row) { return !row.group.empty(); });
  for (const auto& row : spec.rows) {
    table.rows.push_back(row.label);
    if (grouped) table.groups.push_back(row.group);
    table.cells.emplace_back();
    for (const auto& column : spec.columns) table.cells.back().push_back(empty_cell(row, column, spec));
  }
  return table;
}

Table make_table(const config::Experiment& experiment, const Plan& plan, const Store& store) {
  const config::TableSpec& spec = experiment.table;
  Table table = empty_table(experiment);
  const std::string stopped = stopped_early(plan, store);
  if (!stopped.empty()) table.notes.push_back("This point of the sweep was " + stopped + ".");
  for (size_t row = 0; row < table.rows.size(); ++row) {
    for (size_t column = 0; column < table.columns.size(); ++column) {
      Cell& cell = table.cells[row][column];
      if (!cell.absent) fill(cell, spec.rows[row], spec.columns[column], plan, store);
      if (!stopped.empty() && cell.reason == not_finished) cell.reason = "stopped early";
    }
  }
  compare_rows(table, spec);
  rank_cells(table);
  return table;
}

std::string to_text(const Cell& cell, Unit unit) {
  if (cell.repetitions.empty()) return cell.absent ? cell.reason : "–";
  char text[64];
  if (unit == Unit::millions) {
    std::snprintf(text, sizeof text, "%.2f", shown(cell.mean(), unit));
  } else if (cell.repetitions.size() == 1) {
    std::snprintf(text, sizeof text, "%.2f (1)", 100 * cell.mean());
  } else {
    std::snprintf(text, sizeof text, "%.2f ± %.2f (%zu)", 100 * cell.mean(), 100 * cell.deviation(),
                  cell.repetitions.size());
  }
  return cell.against ? std::string(text) + ", " + to_text(*cell.against) : text;
}

std::string to_text(const eval::PairedTest& test) {
  char text[64];
  const char* format = test.p < 0.001 ? "%+.2f, p < 0.001" : "%+.2f, p %.3f";
  std::snprintf(text, sizeof text, format, 100 * test.difference, test.p);
  return text;
}

std::string legend(const Table& table, const std::string& best, const std::string& second) {
  std::string text = table.unit == Unit::millions ? "Millions of parameters"
                                                  : "Percent, mean ± standard deviation (number of repetitions)";
  if (!table.compared.empty()) {
    text +=
        ", mean difference from '" + table.compared +
        "' in percentage points, p of a two-sided paired t-test over the repetitions that both have, not corrected for "
        "the number of tests";
  }
  const auto ranked = [](const Cell& cell) { return cell.rank > 0; };
  const bool ranks = std::any_of(table.cells.begin(), table.cells.end(),
                                 [&](const auto& row) { return std::any_of(row.begin(), row.end(), ranked); });
  if (ranks) text += "; best measured of the column " + best + ", second best " + second;
  if (!table.source.empty()) text += "; paper: " + table.source + "; difference: measured less paper";
  return text;
}

}  // namespace ivory::experiment
