#include "experiment/chart.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>

#include "experiment/html.h"

namespace ivory::experiment {
namespace {

using c10::str;
using html::escape;
using html::number;

constexpr double third_width = 310, half_width = 470, full_width = 960;
constexpr double top = 12, right = 14, bottom = 42;
constexpr size_t colours = 6;    // classes s0 … s5 of the style
constexpr size_t longest = 160;  // points drawn per series
constexpr size_t marked = 25;    // with so few points each gets a dot

std::string fixed(double value, int digits = 1) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, value);
  return buffer;
}

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void include(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

// Values to pixels, with round numbers as ticks.
class Axis {
 public:
  // outward: the ends move to the next tick; else ticks lie within.
  Axis(Range range, double start, double end, int ticks, bool outward) : start_(start), end_(end) {
    if (range.low == range.high) {
      const double margin = range.low == 0 ? 1 : 0.05 * std::abs(range.low);
      range = {range.low - margin, range.high + margin};
    }
    const double rough = (range.high - range.low) / ticks;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    const double lead = rough / power;
    step_ = power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
    low_ = outward ? std::floor(range.low / step_) * step_ : range.low;
    high_ = outward ? std::ceil(range.high / step_) * step_ : range.high;
  }
  double place(double value) const { return start_ + (value - low_) / (high_ - low_) * (end_ - start_); }
  std::vector<double> ticks() const {
    std::vector<double> result;
    for (double k = std::ceil(low_ / step_ - 1e-9); k * step_ <= high_ + 1e-9 * step_; ++k) result.push_back(k * step_);
    return result;
  }
  std::string label(double tick) const {
    const int digits = std::max(0, -static_cast<int>(std::floor(std::log10(step_) + 1e-9)));
    if (digits > 5 || std::abs(tick) >= 10000) return number(tick);
    return (tick < -step_ / 2 ? "−" : "") + fixed(std::abs(tick), digits);
  }

 private:
  double start_, end_, step_ = 1, low_ = 0, high_ = 1;
};

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

// One polyline, band and set of dots per stretch without a gap.
std::string curve(const std::vector<Point>& points, const Axis& x, const Axis& y, size_t index, bool band) {
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
    if (band) result += str("<polygon class=\"band ", style, "\" points=\"", upper, lower, "\"/>");
    result += str("<polyline class=\"line ", style, "\" points=\"", line, "\"/>");
    if (points.size() <= marked || end == begin + 1) result += dots;
    begin = end;
  }
  return result;
}

std::string text(double x, double y, const char* style, const std::string& content) {
  return str("<text class=\"", style, "\" x=\"", fixed(x), "\" y=\"", fixed(y), "\">", escape(content), "</text>");
}

std::string line(double x1, double y1, double x2, double y2, const char* style) {
  return str("<line class=\"", style, "\" x1=\"", fixed(x1), "\" y1=\"", fixed(y1), "\" x2=\"", fixed(x2), "\" y2=\"",
             fixed(y2), "\"/>");
}

std::string x_axis(const Axis& x, double left, double end, double y, const std::string& label) {
  std::string result = line(left, y, end, y, "axis");
  for (const double tick : x.ticks()) {
    result += line(x.place(tick), y, x.place(tick), y + 4, "axis");
    result += text(x.place(tick), y + 17, "x", x.label(tick));
  }
  return result + text((left + end) / 2, y + 35, "x label", label);
}

std::string figure(const std::string& title, const std::string& summary, double width, double tall,
                   const std::string& drawing, const std::string& legend) {
  return str("<figure class=\"chart", width > half_width ? " wide" : "", "\"><figcaption>", escape(title),
             "</figcaption>\n<svg role=\"img\" aria-label=\"", escape(str(title, ". ", summary)), "\" viewBox=\"0 0 ",
             fixed(width, 0), " ", fixed(tall, 0), "\">", drawing, "</svg>\n", legend, "</figure>\n");
}

std::string empty_figure(const std::string& title, const char* sentence) {
  return figure(title, sentence, half_width, 40, text(8, 24, "", sentence), "");
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

std::string legend_line(size_t index, const std::string& name, const std::string& course) {
  return str("<li><svg class=\"key\" viewBox=\"0 0 26 10\" aria-hidden=\"true\"><line class=\"line s", index % colours,
             "\" x1=\"0\" y1=\"5\" x2=\"26\" y2=\"5\"/></svg>", escape(name), " <span class=\"course\">", course,
             "</span></li>");
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
  for (const auto& [name, value] : chart.references) up.include(value);
  if (chart.from_zero) up.include(0);

  const double width = chart.small ? third_width : half_width, height = chart.small ? 190 : 270;
  const double base = height - bottom, end = width - right;
  const Axis y(up, base, top, chart.small ? 3 : 5, true);
  size_t longest_label = 0;
  for (const double tick : y.ticks()) longest_label = std::max(longest_label, y.label(tick).size());
  const double left = 34 + 6.5 * static_cast<double>(longest_label);
  const Axis x(across, left, end, chart.small ? 4 : 6, false);

  std::string drawing, notes, legend, summary;  // notes lie over the curves
  for (const double tick : y.ticks()) {
    drawing += line(left, y.place(tick), end, y.place(tick), "grid");
    drawing += text(left - 7, y.place(tick) + 4, "y", y.label(tick));
  }
  drawing += x_axis(x, left, end, base, chart.x_label);
  drawing += str("<text class=\"x label\" transform=\"translate(13 ", fixed((top + base) / 2), ") rotate(-90)\">",
                 escape(chart.y_label), "</text>");
  for (const auto& [name, value] : chart.references) {
    if (!std::isfinite(value)) continue;
    drawing += line(left, y.place(value), end, y.place(value), "reference");
    const double above = y.place(value) - 5, below = y.place(value) + 14;
    notes += text(end, above < top ? below : above, "y note", str(name, " ", number(value)));
    summary += str(name, " lies at ", number(value), ". ");
  }
  const auto groups = groups_of(chart);
  for (size_t i = 0; i < groups.size(); ++i) {
    const auto& group = groups[i];
    for (const Series* series : group) {
      drawing += curve(thinned(*series), x, y, i, group.size() == 1 && series->x.size() > longest);
    }
    const std::string name = group.size() == 1 ? group[0]->name : str(group[0]->name, ", ", group.size(), " trials");
    const std::string ends = chart.course ? course(group) : "";
    summary += str(name, ends.empty() ? "" : ": ", ends, ". ");
    legend += legend_line(i, name, ends);
  }
  return figure(chart.title, summary, width, height, drawing + notes, str("<ul class=\"legend\">", legend, "</ul>"));
}

std::string to_html(const DotChart& chart) {
  Range range;
  size_t longest_name = 0;
  for (const auto& row : chart.rows) {
    for (const double value : row.values) range.include(value);
    longest_name = std::max(longest_name, row.name.size());
  }
  if (chart.low < chart.high) range = {chart.low, chart.high};
  if (range.empty()) return empty_figure(chart.title, "No values.");

  const double width = chart.strip.empty() ? half_width : full_width, end = width - right;
  const double pitch = chart.rows.size() > 12 ? 15 : chart.strip.empty() ? 26 : 18;
  const double left = std::min(230.0, 24 + 6.6 * static_cast<double>(longest_name));
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
