#include "report/drawing.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "report/html.h"

namespace ivory::experiment::drawing {

using c10::str;
using html::escape;

std::string fixed(double value, int digits) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, value);
  return buffer;
}

void Range::include(double value) {
  if (!std::isfinite(value)) return;
  low = std::min(low, value);
  high = std::max(high, value);
}

Axis::Axis(Range range, double start, double end, int ticks, bool outward) : start_(start), end_(end) {
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

std::vector<double> Axis::ticks() const {
  std::vector<double> result;
  for (double k = std::ceil(low_ / step_ - 1e-9); k * step_ <= high_ + 1e-9 * step_; ++k) result.push_back(k * step_);
  return result;
}

std::string Axis::label(double tick) const {
  const int digits = std::max(0, -static_cast<int>(std::floor(std::log10(step_) + 1e-9)));
  if (digits > 5 || std::abs(tick) >= 10000) return html::number(tick);
  return (tick < -step_ / 2 ? "−" : "") + fixed(std::abs(tick), digits);
}

double Axis::label_width() const {
  size_t longest = 0;
  for (const double tick : ticks()) longest = std::max(longest, label(tick).size());
  return 6.5 * static_cast<double>(longest);
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

std::string y_axis(const Axis& y, double left, double end, double from, double to, const std::string& label) {
  std::string result;
  for (const double tick : y.ticks()) {
    result += line(left, y.place(tick), end, y.place(tick), "grid");
    result += text(left - 7, y.place(tick) + 4, "y", y.label(tick));
  }
  return result + str("<text class=\"x label\" transform=\"translate(13 ", fixed((from + to) / 2), ") rotate(-90)\">",
                      escape(label), "</text>");
}

std::string figure(const std::string& title, const std::string& summary, double width, double tall,
                   const std::string& drawing, const std::string& legend) {
  return str("<figure class=\"chart", width > half_width ? " wide" : "", "\"><figcaption>", escape(title),
             "</figcaption>\n<svg role=\"img\" viewBox=\"0 0 ", fixed(width, 0), " ", fixed(tall, 0), "\"><title>",
             escape(title), "</title><desc>", escape(summary), "</desc>", drawing, "</svg>\n", legend, "</figure>\n");
}

std::string empty_figure(const std::string& title, const char* sentence) {
  return figure(title, sentence, half_width, 40, text(8, 24, "", sentence), "");
}

std::string legend_line(size_t index, const std::string& name, const std::string& remark) {
  return str("<li><svg class=\"key\" viewBox=\"0 0 26 10\" aria-hidden=\"true\"><line class=\"line s", index % colours,
             "\" x1=\"0\" y1=\"5\" x2=\"26\" y2=\"5\"/></svg>", escape(name), " <span class=\"course\">",
             escape(remark), "</span></li>");
}

}  // namespace ivory::experiment::drawing
