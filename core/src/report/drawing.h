#pragma once
// What the figures of the report are drawn with: pieces of SVG text.

#include <limits>
#include <string>
#include <vector>

namespace ivory::experiment::drawing {

constexpr double third_width = 310, half_width = 470, full_width = 960;
constexpr double top = 12, right = 14, bottom = 42;
constexpr size_t colours = 6;  // classes s0 … s5 of the style

std::string fixed(double value, int digits = 1);

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void include(double value);  // what is not finite is left out
  bool empty() const { return low > high; }
};

// Values to pixels, with round numbers as ticks.
class Axis {
 public:
  // outward: the ends move to the next tick; else ticks lie within.
  Axis(Range range, double start, double end, int ticks, bool outward);
  double place(double value) const { return start_ + (value - low_) / (high_ - low_) * (end_ - start_); }
  std::vector<double> ticks() const;
  std::string label(double tick) const;
  // Pixels that the labels of its ticks take beside it.
  double label_width() const;

 private:
  double start_, end_, step_ = 1, low_ = 0, high_ = 1;
};

std::string text(double x, double y, const char* style, const std::string& content);
std::string line(double x1, double y1, double x2, double y2, const char* style);
// Along the bottom, with ticks and its name.
std::string x_axis(const Axis& x, double left, double end, double y, const std::string& label);
// Grid lines with labels at the left, and the axis' name along it.
std::string y_axis(const Axis& y, double left, double end, double from, double to, const std::string& label);

// The drawing in an <svg> that a screen reader announces as a picture: its title, and in `summary` what it shows.
std::string figure(const std::string& title, const std::string& summary, double width, double tall,
                   const std::string& drawing, const std::string& legend);
// In the place of one without data.
std::string empty_figure(const std::string& title, const char* sentence);
// "<li>…</li>" with a sample of line s<index>.
std::string legend_line(size_t index, const std::string& name, const std::string& remark);

}  // namespace ivory::experiment::drawing
