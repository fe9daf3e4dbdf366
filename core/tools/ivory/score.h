#pragma once
// What the kinds of `ivory score` share.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "arguments.h"

namespace ivory::tools {

int score_masks(const Arguments& arguments);
int score_boxes(const Arguments& arguments);
int score_auc(const Arguments& arguments);
int score_froc(const Arguments& arguments);

// A file of comma-separated values with a heading.
struct CsvTable {
  std::string file;
  std::map<std::string, size_t> columns;
  std::vector<std::vector<std::string>> rows;

  // Throws bad_request when there is no such column, or no number.
  const std::string& text(size_t row, const std::string& column) const;
  double number(size_t row, const std::string& column) const;
};
CsvTable read_csv(const std::filesystem::path& file);

// "0.8333"; empty for what is not defined.
std::string number_text(double value);
// To stdout, columns aligned; to --output as CSV where it is given. The first row is the heading.
void print_table(const std::vector<std::vector<std::string>>& rows, const Arguments& arguments);

}  // namespace ivory::tools
