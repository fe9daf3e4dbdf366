#include "report/report_table.h"

#include <algorithm>
#include <cstdio>

#include "report/chart.h"
#include "report/html.h"
#include "table/table_text.h"

namespace ivory::experiment {
namespace {

using html::escape;

// Two digits beside the paper's figures, which have two.
std::string number(double value, const Table& table) {
  char buffer[32];
  const bool fine = table.unit == Unit::millions || !table.source.empty();
  std::snprintf(buffer, sizeof buffer, fine ? "%.2f" : "%.1f", shown(value, table.unit));
  return buffer;
}

// Reasons of empty cells and of those that lack a repetition, each once, in the order in which they are first met: a,
// b, c, …
class Footnotes {
 public:
  std::string mark(const std::string& reason) {
    const auto found = std::find(reasons_.begin(), reasons_.end(), reason);
    const auto index = static_cast<size_t>(found - reasons_.begin());
    if (found == reasons_.end()) reasons_.push_back(reason);
    return sign(index);
  }
  void write(std::ostream& out) const {
    for (size_t i = 0; i < reasons_.size(); ++i) {
      out << "<li><sup>" << sign(i) << "</sup>" << escape(reasons_[i]) << "</li>\n";
    }
  }

 private:
  static std::string sign(size_t index) {
    return index < 26 ? std::string(1, static_cast<char>('a' + index)) : std::to_string(index + 1);
  }
  std::vector<std::string> reasons_;
};

// The mean, then spread and number of repetitions in columns of their own, so that the means stand in line.
void write_measured(std::ostream& out, const Table& table, const Cell& cell, Footnotes& footnotes) {
  const std::string mean = number(cell.mean(), table);
  out << "<td data-value=\"" << cell.mean() << "\">";
  if (cell.rank == 0) out << mean;
  if (cell.rank == 1) out << "<strong>" << mean << "</strong><span class=\"unseen\"> best</span>";
  if (cell.rank == 2) out << "<u>" << mean << "</u><span class=\"unseen\"> second best</span>";
  if (table.unit == Unit::percent) {
    out << " <span class=\"spread\">";
    if (cell.repetitions.size() > 1) out << "± " << number(cell.deviation(), table);
    out << "</span> <span class=\"count\">(" << cell.repetitions.size() << ")</span>";
  }
  if (!cell.reason.empty()) out << "<span class=\"spread\"><sup>" << footnotes.mark(cell.reason) << "</sup></span>";
  if (const auto& test = cell.against) out << "<br><span class=\"against\">" << escape(to_text(*test)) << "</span>";
  out << "</td>";
}

void write_cell(std::ostream& out, const Table& table, const Cell& cell, Footnotes& footnotes) {
  if (!cell.repetitions.empty()) {
    write_measured(out, table, cell, footnotes);
  } else if (cell.absent) {
    out << "<td><span class=\"spread\">" << escape(cell.reason) << "</span></td>";
  } else {
    const std::string mark = cell.reason.empty() ? "" : footnotes.mark(cell.reason);
    out << "<td>– <span class=\"spread\"><sup>" << mark << "</sup></span> <span class=\"count\"></span></td>";
  }
}

void write_paper(std::ostream& out, const Table& table, const Cell& cell) {
  const auto attribute = [](double value) { return " data-value=\"" + std::to_string(value) + "\""; };
  const auto less = difference(cell, table.unit);
  out << "<td" << (cell.paper ? attribute(cell.paper->mean) : "") << ">" << paper_text(cell) << "</td><td"
      << (less ? attribute(*less) : "") << ">" << difference_text(cell, table.unit) << "</td>";
}

// With its group where another row has the same name, as in a sweep.
std::string full_name(const Table& table, size_t row) {
  const bool alone = std::ranges::count(table.rows, table.rows[row]) == 1;
  return table.rows[row] + (alone || table.groups.empty() ? "" : ", " + table.groups[row]);
}

}  // namespace

void write_table(std::ostream& out, const Table& table, const std::string& name, const char* first_column) {
  Footnotes footnotes;
  out << "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"" << name << "\">"
      << "<table class=\"results sortable\">\n<caption>" << escape(table.caption)
      << (table.caption.empty()          ? ""
          : table.caption.ends_with('.') ? " "
                                         : ". ")
      << escape(legend(table, "in bold", "underlined")) << ".</caption>\n"
      << "<thead><tr><th scope=\"col\">" << first_column << "</th>";
  for (size_t column = 0; column < table.columns.size(); ++column) {
    out << "<th scope=\"col\">" << escape(table.columns[column]) << "</th>";
    if (has_paper(table, column)) out << "<th scope=\"col\">paper</th><th scope=\"col\">difference</th>";
  }
  out << "</tr></thead>\n<tbody>\n";
  for (size_t row = 0; row < table.rows.size(); ++row) {
    out << "<tr><th scope=\"row\">" << escape(table.rows[row]);
    if (!table.groups.empty()) out << " <span class=\"against\">" << escape(table.groups[row]) << "</span>";
    out << "</th>";
    for (size_t column = 0; column < table.columns.size(); ++column) {
      write_cell(out, table, table.cells[row][column], footnotes);
      if (has_paper(table, column)) write_paper(out, table, table.cells[row][column]);
    }
    out << "</tr>\n";
  }
  out << "</tbody></table></div>\n<ul class=\"notes\">\n";
  footnotes.write(out);
  for (const auto& note : table.notes) out << "<li>" << escape(note) << "</li>\n";
  out << "</ul>\n";
}

void write_repetitions(std::ostream& out, const Table& table) {
  std::string charts;
  for (size_t column = 0; column < table.columns.size(); ++column) {
    DotChart chart{.title = table.columns[column] + ": every repetition", .x_label = "percent", .mean = true};
    size_t most = 0;
    for (size_t row = 0; row < table.rows.size(); ++row) {
      if (table.cells[row][column].absent) continue;
      auto values = table.cells[row][column].repetitions;
      most = std::max(most, values.size());
      for (auto& value : values) value *= 100;
      chart.rows.push_back({full_name(table, row), std::move(values)});
    }
    if (most > 1) charts += to_html(chart);
  }
  if (!charts.empty()) out << "<div class=\"charts\">\n" << charts << "</div>\n";
}

}  // namespace ivory::experiment
