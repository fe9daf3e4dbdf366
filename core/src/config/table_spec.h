#pragma once
// [table] as typed values.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/model_spec.h"

namespace ivory::config {

// A figure of the paper, in the unit of the table: percent, or millions of parameters.
struct ReferenceValue {
  double mean = 0;
  std::optional<double> deviation = {};
};
using ReferenceTable = std::map<std::string, std::map<std::string, ReferenceValue>>;  // row → column → value

struct TableRow {
  std::string label;
  std::string from = {};             // as of a task; empty when it is missing, or of parameters
  std::string group = {};            // heading of the rows that share it
  std::string reference = {};        // its row in the reference file; empty: none
  std::string missing = {};          // why it is not measured: "not implemented yet"
  std::optional<ModelSpec> model{};  // of a table of parameters: where it is not [model]
};
struct TableColumn {
  std::string label;
  std::string task;
  std::string score = {};                // empty: the task's primary one
  std::vector<std::string> others = {};  // further tasks whose repetitions belong to it
  std::string reference = {};            // its column in the reference file; empty: none
  std::string missing = {};              // as of a row
};
enum class TableKind { scores, parameters };
struct TableSpec {
  std::string caption = {};
  std::vector<TableRow> rows = {};
  std::vector<TableColumn> columns = {};
  std::string compare = {};  // `from` of the row that every other one is tested against; empty: none
  TableKind kind = TableKind::scores;
  std::string reference = {};  // file of the paper's figures, or empty
  std::string source = {};     // where they were printed
  ReferenceTable paper = {};
};

}  // namespace ivory::config
