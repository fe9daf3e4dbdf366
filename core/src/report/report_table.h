#pragma once
// The result table of report.html.

#include <ostream>
#include <string>

#include "table/table.h"

namespace ivory::experiment {

// With its footnotes; `name` is the id of the heading that names it.
void write_table(std::ostream& out, const Table& table, const std::string& name, const char* first_column);
// Every repetition as a dot: a chart per column that has more than one repetition somewhere.
void write_repetitions(std::ostream& out, const Table& table);

}  // namespace ivory::experiment
