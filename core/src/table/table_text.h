#pragma once
// A table as lines of texts: what Markdown, LaTeX and the terminal share.

#include <optional>
#include <string>
#include <vector>

#include "table/table.h"

namespace ivory::experiment {

struct Field {
  std::string text = {};
  int rank = 0;  // of the cell
};
struct Line {
  std::string group = {};
  std::vector<Field> fields = {};  // the row's label first
};
struct TableText {
  std::vector<std::string>
      head;  // a column of the table, then "paper" and "difference" where it has figures of the paper
  std::vector<Line> lines;
};

std::string one_line(std::string text);  // ends of lines and tabulators are blanks
TableText text_of(const Table& table);
// Notes, and the reasons of empty cells and of those that lack a repetition, each once.
std::vector<std::string> footnotes(const Table& table);

bool has_paper(const Table& table, size_t column);
// In the unit of the table: percent, or millions.
double shown(double value, Unit unit);
// Measured less the paper's, in the unit of the table; empty unless the cell has both.
std::optional<double> difference(const Cell& cell, Unit unit);
std::string paper_text(const Cell& cell);                  // "73.03 ± 0.42", "" without
std::string difference_text(const Cell& cell, Unit unit);  // "+0.07", "" without

}  // namespace ivory::experiment
