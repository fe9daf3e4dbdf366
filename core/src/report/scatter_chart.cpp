#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cmath>

#include "report/chart.h"
#include "report/drawing.h"
#include "report/html.h"

namespace ivory::experiment {
namespace {

using c10::str;
using html::escape;
using html::number;
using namespace drawing;

// Colours are told apart by the shapes, too: disc, square, triangle, diamond, ring, cross.
std::string mark(size_t group, double x, double y) {
  const std::string style = str("s", group % colours);
  const std::string at = str(fixed(x), " ", fixed(y));
  switch (group % colours) {
    case 1:
      return str("<path class=\"dot ", style, "\" d=\"M", at, "m-3.6-3.6h7.2v7.2h-7.2z\"");
    case 2:
      return str("<path class=\"dot ", style, "\" d=\"M", at, "m0-4.6l4.4 8h-8.8z\"");
    case 3:
      return str("<path class=\"dot ", style, "\" d=\"M", at, "m0-5l5 5l-5 5l-5-5z\"");
    case 4:
      return str("<circle class=\"line ", style, "\" cx=\"", fixed(x), "\" cy=\"", fixed(y), "\" r=\"3.4\"");
    case 5:
      return str("<path class=\"line ", style, "\" d=\"M", at, "m-3.6-3.6l7.2 7.2m-7.2 0l7.2-7.2\"");
    default:
      return str("<circle class=\"dot ", style, "\" cx=\"", fixed(x), "\" cy=\"", fixed(y), "\" r=\"4\"");
  }
}

bool finite(const ScatterChart::Point& point) {
  return std::isfinite(point.x) && std::isfinite(point.y);
}

std::string key_of(size_t group, const std::string& name, const std::string& remark) {
  return str("<li><svg class=\"key\" viewBox=\"0 0 26 12\" aria-hidden=\"true\">", mark(group, 13, 6), "/></svg>",
             escape(name), " <span class=\"course\">", escape(remark), "</span></li>");
}

}  // namespace

std::string to_html(const ScatterChart& chart) {
  Range range;
  for (const auto& group : chart.groups) {
    for (const auto& point : group.points) {
      if (finite(point)) range.include(point.x), range.include(point.y);
    }
  }
  if (range.empty()) return empty_figure(chart.title, "Nothing was measured in common.");
  const double height = 400, base = height - bottom;
  const Axis y(range, base, top, 5, true);
  const double left = 34 + y.label_width(), end = left + base - top;  // a square
  const Axis x(range, left, end, 5, true);
  std::string drawing = y_axis(y, left, end, top, base, chart.y_label) + x_axis(x, left, end, base, chart.x_label);
  for (const double tick : x.ticks()) drawing += line(x.place(tick), top, x.place(tick), base, "grid");
  drawing += line(left, base, end, top, "reference");
  std::string legend, summary = "On the dashed line both are equal. ";
  for (size_t i = 0; i < chart.groups.size(); ++i) {
    const auto& group = chart.groups[i];
    size_t count = 0, above = 0;
    for (const auto& point : group.points) {
      if (!finite(point)) continue;
      ++count;
      above += point.y > point.x;
      drawing += str(mark(i, x.place(point.x), y.place(point.y)), "><title>", escape(group.name), ", ",
                     escape(point.label), ": ", number(point.y), " against ", number(point.x), "</title>",
                     i % colours == 0 || i % colours == 4 ? "</circle>" : "</path>");
    }
    const std::string verdict = str("higher in ", above, " of ", count);
    legend += key_of(i, group.name, verdict);
    summary += str(group.name, ": ", verdict, ". ");
  }
  return figure(chart.title, summary, half_width, height, drawing, str("<ul class=\"legend\">", legend, "</ul>"));
}

}  // namespace ivory::experiment
