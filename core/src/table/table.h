#pragma once
// Result tables: rows × columns of measured values; a cell without a measurement is empty and says why.

#include <optional>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "eval/paired_test.h"
#include "plan/plan.h"
#include "plan/store.h"

namespace ivory::experiment {

struct Cell {
  std::vector<double> repetitions;  // one score per finished repetition, in [0, 1]; or a number of parameters
  std::string reason;               // why it is empty, or lacks a repetition that has ended
  // Task and number of each repetition: equal ones of two rows have the same splits and began with the same random
  // numbers.
  std::vector<std::pair<std::string, int64_t>> pairs = {};
  std::optional<eval::PairedTest> against = {};      // the table's `compared` row, over the repetitions that both have
  std::optional<config::ReferenceValue> paper = {};  // in the unit of the table
  bool absent = false;                               // known before anything runs: the reason stands in its place
  int rank = 0;                                      // 1 and 2: best and second best measured mean of the column
  double mean() const;
  double deviation() const;  // sample standard deviation; 0 with fewer than two repetitions
};

enum class Unit { percent, millions };

struct Table {
  std::string caption;
  std::vector<std::string> notes;  // printed under the table
  std::vector<std::string> columns;
  std::vector<std::string> rows;
  std::vector<std::vector<Cell>> cells;  // [row][column]
  std::string compared = {};             // label of the row that every other one is tested against; empty: none
  std::vector<std::string> groups = {};  // heading of each row, or none at all
  std::string source = {};               // of the paper's figures; empty: there are none
  Unit unit = Unit::percent;
  bool smoke = false;  // no number says anything about a method
};

// Labels, notes and the paper's figures; all cells empty.
Table empty_table(const config::Experiment& experiment);

// From the records in the store; a part without a record leaves its cell empty with the reason.
Table make_table(const config::Experiment& experiment, const Plan& plan, const Store& store);

// Sets every cell's `rank` by the measured means of its column. Equal means have equal ranks; a column of one measured
// cell has none.
void rank_cells(Table& table);

// "61.20 ± 3.40 (3)": percent, repetitions in brackets; "–" when empty. Of a compared cell also the mean difference and
// p: "61.20 ± 3.40 (3), +4.10, p 0.012".
std::string to_text(const Cell& cell, Unit unit = Unit::percent);
std::string to_text(const eval::PairedTest& test);  // "+4.10, p 0.012"
std::string to_markdown(const Table& table);
// What the numbers of a cell are, as a sentence without its full stop. `best`, `second`: how the two are marked.
std::string legend(const Table& table, const std::string& best, const std::string& second);
// A line per cell: row, column, mean, deviation, repetitions, reason, difference, p, group, the paper's mean and
// deviation, rank, "smoke" or "measured", and the difference from the paper; fractions (or parameters) in full
// precision.
std::string to_csv(const Table& table);
// A table environment for the package booktabs.
std::string to_latex(const Table& table);
// Aligned columns for a terminal.
std::string to_console(const Table& table);

}  // namespace ivory::experiment
