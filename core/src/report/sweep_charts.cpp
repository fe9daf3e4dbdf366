// Figures of a sweep: parallel coordinates and heat map.
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cmath>

#include "report/chart.h"
#include "report/drawing.h"
#include "report/html.h"
#include "report/setting_scale.h"

namespace ivory::experiment {
namespace {

using c10::str;
using html::escape;
using html::number;
using namespace drawing;

constexpr size_t most_labels = 14;  // on an axis of settings

// Text that would be wider than there is room keeps its end: "…optimiser.lr".
std::string shortened(const std::string& text, double width) {
  const auto most = static_cast<size_t>(std::max(6.0, width / 6.8));
  if (text.size() <= most) return text;
  size_t begin = text.size() - most + 1;
  while (begin < text.size() && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) ++begin;  // whole letters
  return "…" + text.substr(begin);
}

struct Scored {
  const ParallelChart::Line* line;
  double share;  // of the way from the lowest score to the highest
};

// The lowest first, so that the best lies on top.
std::vector<Scored> scored(const ParallelChart& chart, Range& range) {
  for (const auto& one : chart.lines) range.include(one.score);
  std::vector<Scored> lines;
  for (const auto& one : chart.lines) {
    if (!std::isfinite(one.score)) continue;
    lines.push_back({&one, range.high > range.low ? (one.score - range.low) / (range.high - range.low) : 1});
  }
  std::stable_sort(lines.begin(), lines.end(), [](const Scored& a, const Scored& b) { return a.share < b.share; });
  return lines;
}

std::string described(const ParallelChart& chart, const ParallelChart::Line& one) {
  std::string text = str(number(one.score), " at ");
  for (size_t i = 0; i < chart.axes.size(); ++i) {
    text += str(i > 0 ? ", " : "", chart.axes[i], " ", one.settings[i]);
  }
  return text;
}

}  // namespace

std::string to_html(const ParallelChart& chart) {
  Range range;
  const auto lines = scored(chart, range);
  if (lines.empty()) return empty_figure(chart.title, "No point has a score yet.");
  const double height = 330, upper = 40, lower = height - 20, left = 70, end = full_width - 60;
  const double pitch = (end - left) / static_cast<double>(chart.axes.size());
  const auto across = [&](size_t axis) { return left + pitch * static_cast<double>(axis); };
  const Axis y(range, lower, upper, 6, true);

  std::string drawing;
  std::vector<SettingScale> scales;
  for (size_t i = 0; i < chart.axes.size(); ++i) {
    std::vector<std::string> values;
    for (const auto& one : chart.lines) values.push_back(one.settings[i]);
    scales.emplace_back(values);
  }
  const auto down = [&](size_t axis, const std::string& value) {
    return lower - scales[axis].place(value) * (lower - upper);
  };
  for (const auto& [one, share] : lines) {
    std::string points;
    for (size_t i = 0; i < scales.size(); ++i)
      points += str(fixed(across(i)), ",", fixed(down(i, one->settings[i])), " ");
    points += str(fixed(end), ",", fixed(y.place(one->score)));
    const bool best = one == lines.back().line;
    drawing += str("<polyline class=\"path", best ? " best" : "", "\" stroke-opacity=\"",
                   best ? "1" : fixed(0.15 + 0.6 * share * share, 2), "\" points=\"", points, "\"><title>",
                   escape(described(chart, *one)), "</title></polyline>");
  }
  for (size_t i = 0; i < scales.size(); ++i) {
    const auto& values = scales[i].values();
    drawing += line(across(i), upper, across(i), lower, "axis");
    drawing += text(across(i), upper - 22, "x label", shortened(chart.axes[i], pitch));
    const size_t stride = (values.size() + most_labels - 1) / most_labels;
    for (size_t k = 0; k < values.size(); k += stride) {
      const double at = down(i, values[k]);
      drawing += line(across(i) - 4, at, across(i), at, "axis");
      drawing += text(across(i) - 7, at + 4, "y note", shortened(values[k], i == 0 ? left - 8 : 0.45 * pitch));
    }
  }
  drawing += line(end, upper, end, lower, "axis") + text(end, upper - 22, "x label", chart.score);
  for (const double tick : y.ticks()) {
    drawing += line(end, y.place(tick), end + 4, y.place(tick), "axis");
    drawing += text(end + 8, y.place(tick) + 4, "", y.label(tick));
  }
  const std::string best = described(chart, *lines.back().line), worst = described(chart, *lines.front().line);
  const std::string summary = str(lines.size(), " lines. Highest: ", best, ". Lowest: ", worst, ".");
  return figure(chart.title, summary, full_width, height, drawing,
                str("<p class=\"shared\">Highest: ", escape(best), " (thick line).</p>\n"));
}

std::string to_html(const HeatMap& chart) {
  Range range;
  for (const auto& row : chart.values) {
    for (const double value : row) range.include(value);
  }
  if (range.empty()) return empty_figure(chart.title, "No point has a score yet.");
  size_t longest = 0;
  for (const auto& row : chart.rows) longest = std::max(longest, row.size());
  const double left = std::min(150.0, 34 + 6.8 * static_cast<double>(longest)), end = half_width - right;
  const double wide = (end - left) / static_cast<double>(chart.columns.size());
  const double tall = std::clamp(220 / static_cast<double>(chart.rows.size()), 16.0, 40.0);
  const double base = top + tall * static_cast<double>(chart.rows.size());
  std::string drawing, best;
  const size_t stride = static_cast<size_t>(std::ceil(34 / wide));  // of labels that fit beside each other
  for (size_t r = 0; r < chart.rows.size(); ++r) {
    // The first row stands at the bottom, as on an axis.
    const double y = base - tall * static_cast<double>(r + 1);
    drawing += text(left - 7, y + tall / 2 + 4, "y", shortened(chart.rows[r], left - 30));
    for (size_t c = 0; c < chart.columns.size(); ++c) {
      const double x = left + wide * static_cast<double>(c), value = chart.values[r][c];
      const bool measured = std::isfinite(value);
      const double share = range.high > range.low ? (value - range.low) / (range.high - range.low) : 1;
      const std::string where = str(chart.x_label, " ", chart.columns[c], ", ", chart.y_label, " ", chart.rows[r]);
      if (measured && value == range.high && best.empty()) best = where;
      drawing += str("<rect class=\"cell", measured ? "" : " none", value == range.high ? " best" : "", "\" x=\"",
                     fixed(x + 1), "\" y=\"", fixed(y + 1), "\" width=\"", fixed(wide - 2), "\" height=\"",
                     fixed(tall - 2), "\" fill-opacity=\"", measured ? fixed(0.05 + 0.5 * share, 2) : "0", "\"><title>",
                     escape(where), ": ", measured ? number(value) : "no score", "</title></rect>");
      if (wide >= 34) drawing += text(x + wide / 2, y + tall / 2 + 4, "x value", measured ? fixed(value) : "–");
    }
  }
  for (size_t c = 0; c < chart.columns.size(); c += stride) {
    drawing += text(left + wide * (static_cast<double>(c) + 0.5), base + 17, "x",
                    shortened(chart.columns[c], wide * static_cast<double>(stride)));
  }
  drawing += text((left + end) / 2, base + 35, "x label", chart.x_label);
  drawing += str("<text class=\"x label\" transform=\"translate(13 ", fixed((top + base) / 2), ") rotate(-90)\">",
                 escape(shortened(chart.y_label, base - top)), "</text>");
  const std::string summary = str("From ", number(range.low), " to ", number(range.high), "; highest at ", best, ".");
  return figure(chart.title, summary, half_width, base + bottom, drawing,
                str("<p class=\"shared\">", escape(summary), "</p>\n"));
}

}  // namespace ivory::experiment
