#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cctype>

#include "table/table_text.h"

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
    } else if (c == '<' || c == '>') {
      result += std::string("$") + c + "$";
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

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || (c & 0x80) != 0;
}

// What would end a cell, or become emphasis, code, a link or a tag. Inside words an underscore is only that.
std::string markdown(const std::string& text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i], before = i > 0 ? text[i - 1] : ' ', next = i + 1 < text.size() ? text[i + 1] : ' ';
    const bool marks = std::string_view("|\\`*~[]").find(c) != std::string_view::npos;
    const bool tag = c == '<' && (std::isalpha(static_cast<unsigned char>(next)) != 0 || next == '/' || next == '!');
    const bool entity = c == '&' && (std::isalpha(static_cast<unsigned char>(next)) != 0 || next == '#');
    const bool heading = i == 0 && (c == '#' || c == '>');
    if (marks || tag || entity || heading || (c == '_' && !(is_word(before) && is_word(next)))) result += '\\';
    result += c;
  }
  return result;
}

// Code points, not bytes: "±" takes one column.
size_t display_width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string padded(const std::string& text, size_t width) {
  return text + std::string(width - std::min(width, display_width(text)), ' ');
}

std::string marked(const Field& field, const char* best, const char* second) {
  const std::string text = markdown(field.text);
  if (field.rank == 0 || text.empty()) return text;
  const std::string mark = field.rank == 1 ? best : second;
  return mark + text + mark;
}

// Of a figure that is printed in percent or millions: as the measured value is stored.
std::string stored(double figure, Unit unit) {
  return exact(unit == Unit::percent ? figure / 100 : figure * 1e6);
}

std::string csv_line(const Table& table, size_t row, size_t column) {
  const Cell& cell = table.cells[row][column];
  const bool measured = !cell.repetitions.empty();
  const auto paper = cell.paper ? stored(cell.paper->mean, table.unit) : "";
  const auto spread = cell.paper && cell.paper->deviation ? stored(*cell.paper->deviation, table.unit) : "";
  const auto less = difference(cell, table.unit);
  return c10::str(quoted(table.rows[row]), ",", quoted(table.columns[column]), ",", measured ? exact(cell.mean()) : "",
                  ",", cell.repetitions.size() > 1 ? exact(cell.deviation()) : "", ",", cell.repetitions.size(), ",",
                  measured && cell.reason.empty() ? "" : quoted(cell.reason), ",",
                  cell.against ? exact(cell.against->difference) : "", ",", cell.against ? exact(cell.against->p) : "",
                  ",", table.groups.empty() ? "" : quoted(table.groups[row]), ",", paper, ",", spread, ",",
                  cell.rank > 0 ? std::to_string(cell.rank) : "", ",", table.smoke ? "smoke" : "measured", ",",
                  less ? stored(*less, table.unit) : "", "\n");
}

std::string latex_field(const Field& field) {
  const std::string text = field.text == "–" ? "--" : latex(field.text);
  if (field.rank == 0) return text;
  return (field.rank == 1 ? "\\textbf{" : "\\underline{") + text + "}";
}

}  // namespace

std::string to_csv(const Table& table) {
  std::string out =
      "row,column,mean,deviation,repetitions,reason,difference,p,group,paper,paper deviation,rank,kind,"
      "difference from paper\n";
  for (size_t row = 0; row < table.rows.size(); ++row) {
    for (size_t column = 0; column < table.columns.size(); ++column) out += csv_line(table, row, column);
  }
  return out;
}

std::string to_latex(const Table& table) {
  const TableText text = text_of(table);
  const size_t width = text.head.size();
  std::string out = (table.smoke ? "% SMOKE RUN, no result\n" : "");
  out += "% \\usepackage{booktabs}\n\\begin{table}\n\\centering\n\\caption{" +
         latex(one_line(table.caption) + ". " + legend(table, "in bold", "underlined")) + ".}\n\\begin{tabular}{l" +
         std::string(width - 1, 'r') + "}\n\\toprule\n";
  for (size_t i = 1; i < width; ++i) out += " & " + latex(text.head[i]);
  out += " \\\\\n\\midrule\n";
  std::string group;
  for (const auto& line : text.lines) {
    if (line.group != group) {
      group = line.group;
      out += c10::str("\\multicolumn{", width, "}{l}{\\emph{", latex(group), "}} \\\\\n");
    }
    for (size_t i = 0; i < width; ++i) out += (i > 0 ? " & " : "") + latex_field(line.fields[i]);
    out += " \\\\\n";
  }
  out += "\\bottomrule\n\\end{tabular}\n\\end{table}\n";
  for (const auto& note : table.notes) out += "% " + one_line(note) + "\n";
  return out;
}

std::string to_markdown(const Table& table) {
  const TableText text = text_of(table);
  std::string out = "**" + markdown(one_line(table.caption)) + "**\n\n";
  for (const auto& name : text.head) out += "| " + markdown(name) + " ";
  out += "|\n|---";
  for (size_t i = 1; i < text.head.size(); ++i) out += "|---:";
  out += "|\n";
  std::string group;
  for (const auto& line : text.lines) {
    if (line.group != group) {
      group = line.group;
      out += "| *" + markdown(group) + "* ";
      for (size_t i = 1; i < text.head.size(); ++i) out += "| ";
      out += "|\n";
    }
    for (const auto& field : line.fields) out += "| " + marked(field, "**", "*") + " ";
    out += "|\n";
  }
  out += "\n" + legend(table, "in bold", "in italics") + ".\n";
  for (const auto& note : footnotes(table)) out += "\n" + markdown(note) + "\n";
  return out;
}

std::string to_console(const Table& table) {
  TableText text = text_of(table);
  std::vector<size_t> widths;
  for (const auto& name : text.head) widths.push_back(display_width(name));
  for (auto& line : text.lines) {
    for (size_t i = 0; i < widths.size(); ++i) {
      Field& field = line.fields[i];
      if (field.rank > 0) field.text += field.rank == 1 ? " [1]" : " [2]";
      widths[i] = std::max(widths[i], display_width(field.text) + (line.group.empty() || i > 0 ? 0 : 2));
    }
  }
  std::string out = table.caption + "\n", group;
  for (size_t i = 0; i < widths.size(); ++i) out += "  " + padded(text.head[i], widths[i]);
  out += "\n";
  for (const auto& line : text.lines) {
    if (line.group != group) out += "  " + (group = line.group) + "\n";
    for (size_t i = 0; i < widths.size(); ++i) {
      const std::string indent = i == 0 && !line.group.empty() ? "  " : "";
      out += "  " + padded(indent + line.fields[i].text, widths[i]);
    }
    out += "\n";
  }
  out += "  " + legend(table, "[1]", "[2]") + "\n";
  for (const auto& note : footnotes(table)) out += "  " + note + "\n";
  return out;
}

}  // namespace ivory::experiment
