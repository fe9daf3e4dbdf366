#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cmath>

#include "report/chart.h"
#include "report/drawing.h"
#include "report/html.h"

namespace ivory::experiment {

using c10::str;
using html::number;
using namespace drawing;

std::string to_html(const DotChart& chart) {
  Range range;
  size_t longest_name = 0;
  for (const auto& row : chart.rows) {
    for (const double value : row.values) range.include(value);
    longest_name = std::max(longest_name, row.name.size());
  }
  if (chart.low < chart.high) range = {chart.low, chart.high};
  if (range.empty()) return empty_figure(chart.title, "No values.");

  const double names = 24 + 6.6 * static_cast<double>(longest_name);
  const bool wide = !chart.strip.empty() || names > half_width / 2;
  const double width = wide ? full_width : half_width, end = width - right;
  const double pitch = chart.rows.size() > 12 ? 15 : chart.strip.empty() ? 26 : 18;
  const double left = std::min(chart.strip.empty() ? 0.65 * width : 230.0, names);
  const int ticks = std::max(2, static_cast<int>((end - left) / 60));
  const Axis x(range, left + 8, end - 8, ticks, !(chart.low < chart.high));
  const double strip = chart.strip.empty() ? 0 : (end - left - 16) / html::aspect_ratio(chart.strip) + 6;
  const double first = top + strip, base = first + pitch * static_cast<double>(chart.rows.size());
  std::string drawing = x_axis(x, left, end, base, chart.x_label), summary;
  if (strip > 0) {
    drawing += str("<image x=\"", fixed(left + 8), "\" y=\"", fixed(top), "\" width=\"", fixed(end - left - 16),
                   "\" height=\"", fixed(strip - 6), "\" href=\"", html::data_url(chart.strip), "\"/>");
  }
  for (const double tick : x.ticks()) drawing += line(x.place(tick), first, x.place(tick), base, "grid");
  for (size_t i = 0; i < chart.rows.size(); ++i) {
    const auto& row = chart.rows[i];
    const double y = first + pitch * (static_cast<double>(i) + 0.5);
    drawing += line(left, y, end, y, "grid") + text(left - 8, y + 4, "y", row.name);
    double sum = 0, finite = 0;
    for (const double value : row.values) {
      if (!std::isfinite(value)) continue;
      drawing += str("<circle class=\"dot s0 faint\" cx=\"", fixed(x.place(value)), "\" cy=\"", fixed(y), "\" r=\"",
                     pitch < 20 ? "3" : "4.2", "\"/>");
      sum += value;
      ++finite;
    }
    summary += str(row.name, ": ", finite, finite == 1 ? " value" : " values");
    if (chart.mean && finite > 0) {
      drawing += line(x.place(sum / finite), y - 8, x.place(sum / finite), y + 8, "mean");
      summary += str(", mean ", number(sum / finite));
    }
    summary += ". ";
  }
  return figure(chart.title, summary, width, base + bottom, drawing, "");
}

}  // namespace ivory::experiment
