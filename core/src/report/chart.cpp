#include "report/chart.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "report/drawing.h"
#include "report/html.h"

namespace ivory::experiment {
namespace {

using c10::str;
using html::escape;
using html::number;
using namespace drawing;

constexpr size_t longest = 160;  // points drawn per series
constexpr size_t marked = 25;    // with so few points each gets a dot

struct Point {
  double x, y, low, high;
};

// At most `longest` points: means of neighbours with their range. A NaN point is a gap.
std::vector<Point> thinned(const Series& series) {
  const size_t count = std::min(series.x.size(), series.y.size());
  const size_t bucket = (count + longest - 1) / longest;
  std::vector<Point> points;
  for (size_t begin = 0; begin < count; begin += bucket) {
    const size_t end = std::min(count, begin + bucket);
    Range range;
    double sum_x = 0, sum_y = 0, finite = 0;
    for (size_t i = begin; i < end; ++i) {
      sum_x += series.x[i];
      if (!std::isfinite(series.y[i])) continue;
      range.include(series.y[i]);
      sum_y += series.y[i];
      ++finite;
    }
    const double gap = std::nan("");
    points.push_back({sum_x / static_cast<double>(end - begin), finite > 0 ? sum_y / finite : gap,
                      finite > 0 ? range.low : gap, finite > 0 ? range.high : gap});
  }
  return points;
}

enum class Look { plain, banded, faint };

// One polyline, band and set of dots per stretch without a gap.
std::string curve(const std::vector<Point>& points, const Axis& x, const Axis& y, size_t index, Look look) {
  const std::string style = str("s", index % colours);
  std::string result;
  for (size_t begin = 0; begin < points.size(); ++begin) {
    if (std::isnan(points[begin].y)) continue;
    size_t end = begin;
    std::string line, upper, lower, dots;
    for (; end < points.size() && !std::isnan(points[end].y); ++end) {
      const auto& point = points[end];
      const std::string px = fixed(x.place(point.x)), py = fixed(y.place(point.y));
      line += str(px, ",", py, " ");
      upper += str(px, ",", fixed(y.place(point.high)), " ");
      lower.insert(0, str(px, ",", fixed(y.place(point.low)), " "));
      dots += str("<circle class=\"dot ", style, "\" cx=\"", px, "\" cy=\"", py, "\" r=\"2.6\"/>");
    }
    if (look == Look::banded) result += str("<polygon class=\"band ", style, "\" points=\"", upper, lower, "\"/>");
    const char* thin = look == Look::faint ? " repetition" : "";
    result += str("<polyline class=\"line ", style, thin, "\" points=\"", line, "\"/>");
    if (end == begin + 1 || (points.size() <= marked && look != Look::faint)) result += dots;
    begin = end;
  }
  return result;
}

// Mean and one standard deviation to both sides where several series have a value.
std::vector<Point> mean_of(const std::vector<const Series*>& group) {
  std::map<double, std::vector<double>> values;
  for (const Series* series : group) {
    for (size_t i = 0; i < std::min(series->x.size(), series->y.size()); ++i) {
      if (std::isfinite(series->y[i])) values[series->x[i]].push_back(series->y[i]);
    }
  }
  const size_t stride = (values.size() + longest - 1) / longest;
  std::vector<Point> points;
  size_t index = 0;
  for (const auto& [x, all] : values) {
    if (index++ % stride != 0) continue;
    double sum = 0, squares = 0;
    for (const double value : all) sum += value;
    const auto count = static_cast<double>(all.size());
    for (const double value : all) squares += (value - sum / count) * (value - sum / count);
    const double deviation = all.size() > 1 ? std::sqrt(squares / (count - 1)) : 0;
    points.push_back({x, sum / count, sum / count - deviation, sum / count + deviation});
  }
  return points;
}

// "8.01 → 7.21" of one series, "0.91 … 0.93 → 0.21 … 0.25" of several.
std::string course(const std::vector<const Series*>& group) {
  Range first, last;
  bool moves = false;
  for (const Series* series : group) {
    std::vector<double> finite;
    std::copy_if(series->y.begin(), series->y.end(), std::back_inserter(finite),
                 [](double v) { return std::isfinite(v); });
    if (finite.empty()) continue;
    first.include(finite.front());
    last.include(finite.back());
    moves |= finite.size() > 1;
  }
  const auto span = [](const Range& range) {
    const std::string low = number(range.low), high = number(range.high);
    return low == high ? low : str(low, " … ", high);
  };
  if (first.empty()) return "no values";
  return moves ? str(span(first), " → ", span(last)) : span(first);
}

// Series by name, in the order in which the names are first met.
std::vector<std::vector<const Series*>> groups_of(const LineChart& chart) {
  std::vector<std::vector<const Series*>> groups;
  for (const Series& series : chart.series) {
    const auto same = [&](const auto& group) { return group.front()->name == series.name; };
    const auto found = std::find_if(groups.begin(), groups.end(), same);
    if (found == groups.end()) {
      groups.push_back({&series});
    } else {
      found->push_back(&series);
    }
  }
  return groups;
}

}  // namespace

std::string to_html(const LineChart& chart) {
  Range across, up;
  for (const auto& series : chart.series) {
    for (size_t i = 0; i < std::min(series.x.size(), series.y.size()); ++i) {
      if (!std::isfinite(series.y[i])) continue;
      across.include(series.x[i]);
      up.include(series.y[i]);
    }
  }
  if (up.empty()) return empty_figure(chart.title, "Nothing was recorded.");
  const auto groups = groups_of(chart);
  std::vector<std::vector<Point>> means(groups.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    if (!chart.spread || groups[i].size() < 2) continue;
    means[i] = mean_of(groups[i]);
    for (const auto& point : means[i]) up.include(point.low), up.include(point.high);
  }
  for (const auto& [name, value] : chart.references) up.include(value);
  if (chart.from_zero) up.include(0);

  const double width = chart.small ? third_width : half_width, height = chart.small ? 190 : 270;
  const double base = height - bottom, end = width - right;
  const Axis y(up, base, top, chart.small ? 3 : 5, true);
  const double left = 34 + y.label_width();
  const Axis x(across, left, end, chart.small ? 4 : 6, false);

  std::string drawing, notes, legend, summary;  // notes lie over the curves
  drawing += y_axis(y, left, end, top, base, chart.y_label);
  drawing += x_axis(x, left, end, base, chart.x_label);
  for (const auto& [name, value] : chart.references) {
    if (!std::isfinite(value)) continue;
    drawing += line(left, y.place(value), end, y.place(value), "reference");
    const double above = y.place(value) - 5, below = y.place(value) + 14;
    notes += text(end, above < top ? below : above, "y note", str(name, " ", number(value)));
    summary += str(name, " lies at ", number(value), ". ");
  }
  for (size_t i = 0; i < groups.size(); ++i) {
    const auto& group = groups[i];
    for (const Series* series : group) {
      const bool banded = group.size() == 1 && series->x.size() > longest;
      const Look look = !means[i].empty() ? Look::faint : banded ? Look::banded : Look::plain;
      drawing += curve(thinned(*series), x, y, i, look);
    }
    if (!means[i].empty()) drawing += curve(means[i], x, y, i, Look::banded);
    const std::string name =
        group.size() == 1 ? group[0]->name : str(group[0]->name, ", ", group.size(), " repetitions");
    const std::string ends = chart.course ? course(group) : "";
    summary += str(name, ends.empty() ? "" : ": ", ends, ". ");
    legend += legend_line(i, name, ends);
  }
  return figure(chart.title, summary, width, height, drawing + notes, str("<ul class=\"legend\">", legend, "</ul>"));
}

}  // namespace ivory::experiment
