#pragma once
// Result tables: rows × columns of measured values; a cell without a measurement is empty and says why.

#include <string>
#include <vector>

#include "config/experiment.h"
#include "experiment/plan.h"
#include "experiment/store.h"

namespace ivory::experiment {

struct Cell {
  std::vector<double> trials;  // one score per finished trial, in [0, 1]
  std::string reason;          // why it is empty
  double mean() const;
  double deviation() const;  // sample standard deviation; 0 with fewer than two trials
};

struct Table {
  std::string caption;
  std::vector<std::string> notes;  // printed under the table
  std::vector<std::string> columns;
  std::vector<std::string> rows;
  std::vector<std::vector<Cell>> cells;  // [row][column]
};

// From the records in the store; a node without a record leaves its cell empty with the reason.
Table make_table(const config::Experiment& experiment, const Plan& plan, const Store& store);

// "61.2 ± 3.4 (3)": percent, trials in brackets; "–" when empty.
std::string to_text(const Cell& cell);
std::string to_markdown(const Table& table);
// A line per cell: row, column, mean, deviation, trials; fractions in full precision.
std::string to_csv(const Table& table);
// A table environment for the package booktabs.
std::string to_latex(const Table& table);
// Aligned columns for a terminal.
std::string to_console(const Table& table);

}  // namespace ivory::experiment
