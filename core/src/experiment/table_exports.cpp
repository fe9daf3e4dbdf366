#include <c10/util/StringUtil.h>

#include "experiment/table.h"

namespace ivory::experiment {
namespace {

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) result += c == '"' ? std::string("\"\"") : std::string(1, c);
  return result + "\"";
}

std::string exact(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

std::string latex(const std::string& text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (std::string("&%$#_{}").find(c) != std::string::npos) {
      result += std::string("\\") + c;
    } else if (c == '\\') {
      result += "\\textbackslash{}";
    } else if (c == '~' || c == '^') {
      result += std::string("\\") + c + "{}";
    } else if (text.compare(i, 2, "±") == 0) {
      result += "$\\pm$";
      ++i;
    } else {
      result += c;
    }
  }
  return result;
}

}  // namespace

std::string to_csv(const Table& table) {
  std::string out = "row,column,mean,deviation,trials,reason\n";
  for (size_t row = 0; row < table.rows.size(); ++row) {
    for (size_t column = 0; column < table.columns.size(); ++column) {
      const Cell& cell = table.cells[row][column];
      const bool measured = !cell.trials.empty();
      out += c10::str(quoted(table.rows[row]), ",", quoted(table.columns[column]), ",",
                      measured ? exact(cell.mean()) : "", ",", cell.trials.size() > 1 ? exact(cell.deviation()) : "",
                      ",", cell.trials.size(), ",", measured ? "" : quoted(cell.reason), "\n");
    }
  }
  return out;
}

std::string to_latex(const Table& table) {
  std::string out = "% \\usepackage{booktabs}\n\\begin{table}\n\\centering\n\\caption{" + latex(table.caption) +
                    ". Percent, mean $\\pm$ standard deviation (number of trials).}\n\\begin{tabular}{l" +
                    std::string(table.columns.size(), 'r') + "}\n\\toprule\n";
  for (const auto& column : table.columns) out += " & " + latex(column);
  out += " \\\\\n\\midrule\n";
  for (size_t row = 0; row < table.rows.size(); ++row) {
    out += latex(table.rows[row]);
    for (const auto& cell : table.cells[row]) out += " & " + (cell.trials.empty() ? "--" : latex(to_text(cell)));
    out += " \\\\\n";
  }
  out += "\\bottomrule\n\\end{tabular}\n\\end{table}\n";
  for (const auto& note : table.notes) out += "% " + note + "\n";
  return out;
}

}  // namespace ivory::experiment
