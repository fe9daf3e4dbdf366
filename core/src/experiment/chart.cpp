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

constexpr double width = 470, height = 270;
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

std::string x_axis(const Axis& x, double left, double y, const std::string& label) {
  std::string result = line(left, y, width - right, y, "axis");
  for (const double tick : x.ticks()) {
    result += line(x.place(tick), y, x.place(tick), y + 4, "axis");
    result += text(x.place(tick), y + 17, "x", x.label(tick));
  }
  return result + text((left + width - right) / 2, y + 35, "x label", label);
}

std::string figure(const std::string& title, const std::string& summary, double tall, const std::string& drawing,
                   const std::string& legend) {
  return str("<figure class=\"chart\"><figcaption>", escape(title), "</figcaption>\n<svg role=\"img\" aria-label=\"",
             escape(str(title, ". ", summary)), "\" viewBox=\"0 0 ", fixed(width, 0), " ", fixed(tall, 0), "\">",
             drawing, "</svg>\n", legend, "</figure>\n");
}

// "8.01 → 7.21"
std::string course(const Series& series) {
  std::vector<double> finite;
  std::copy_if(series.y.begin(), series.y.end(), std::back_inserter(finite), [](double v) { return std::isfinite(v); });
  if (finite.empty()) return "no values";
  if (finite.size() == 1) return number(finite.front());
  return str(number(finite.front()), " → ", number(finite.back()));
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
  if (up.empty()) return figure(chart.title, "Nothing was recorded.", 40, text(8, 24, "", "Nothing was recorded."), "");
  for (const auto& [name, value] : chart.references) up.include(value);

  const double base = height - bottom;
  const Axis y(up, base, top, 5, true);
  size_t longest_label = 0;
  for (const double tick : y.ticks()) longest_label = std::max(longest_label, y.label(tick).size());
  const double left = 34 + 6.5 * static_cast<double>(longest_label);
  const Axis x(across, left, width - right, 6, false);

  std::string drawing, legend, summary;
  for (const double tick : y.ticks()) {
    drawing += line(left, y.place(tick), width - right, y.place(tick), "grid");
    drawing += text(left - 7, y.place(tick) + 4, "y", y.label(tick));
  }
  drawing += x_axis(x, left, base, chart.x_label);
  drawing += str("<text class=\"x label\" transform=\"translate(13 ", fixed((top + base) / 2), ") rotate(-90)\">",
                 escape(chart.y_label), "</text>");
  for (const auto& [name, value] : chart.references) {
    if (!std::isfinite(value)) continue;
    drawing += line(left, y.place(value), width - right, y.place(value), "reference");
    drawing += text(width - right, y.place(value) - 5, "y", str(name, " ", number(value)));
    summary += str(name, " lies at ", number(value), ". ");
  }
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const auto& series = chart.series[i];
    drawing += curve(thinned(series), x, y, i, series.x.size() > longest);
    summary += str(series.name, ": ", course(series), ". ");
    legend += str("<li><svg class=\"key\" viewBox=\"0 0 26 10\" aria-hidden=\"true\"><line class=\"line s", i % colours,
                  "\" x1=\"0\" y1=\"5\" x2=\"26\" y2=\"5\"/></svg>", escape(series.name), " <span class=\"course\">",
                  course(series), "</span></li>");
  }
  return figure(chart.title, summary, height, drawing, str("<ul class=\"legend\">", legend, "</ul>"));
}

std::string to_html(const DotChart& chart) {
  Range range;
  size_t longest_name = 0;
  for (const auto& row : chart.rows) {
    for (const double value : row.values) range.include(value);
    longest_name = std::max(longest_name, row.name.size());
  }
  if (chart.low < chart.high) range = {chart.low, chart.high};
  if (range.empty()) return figure(chart.title, "No values.", 40, text(8, 24, "", "No values."), "");

  const double pitch = chart.rows.size() > 12 ? 15 : 26;
  const double left = std::min(230.0, 24 + 6.6 * static_cast<double>(longest_name));
  const double base = top + pitch * static_cast<double>(chart.rows.size());
  const Axis x(range, left + 8, width - right - 8, 6, !(chart.low < chart.high));
  std::string drawing = x_axis(x, left, base, chart.x_label), summary;
  for (const double tick : x.ticks()) drawing += line(x.place(tick), top, x.place(tick), base, "grid");
  for (size_t i = 0; i < chart.rows.size(); ++i) {
    const auto& row = chart.rows[i];
    const double y = top + pitch * (static_cast<double>(i) + 0.5);
    drawing += line(left, y, width - right, y, "grid") + text(left - 8, y + 4, "y", row.name);
    double sum = 0, finite = 0;
    for (const double value : row.values) {
      if (!std::isfinite(value)) continue;
      drawing += str("<circle class=\"dot s0 faint\" cx=\"", fixed(x.place(value)), "\" cy=\"", fixed(y), "\" r=\"",
                     pitch < 20 ? "2.6" : "4.2", "\"/>");
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
  return figure(chart.title, summary, base + bottom, drawing, "");
}

}  // namespace ivory::experiment
