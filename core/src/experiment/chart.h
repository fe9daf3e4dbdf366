#pragma once
// Figures of the report: a chart as an accessible <figure> with inline SVG.

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace ivory::experiment {

struct Series {
  std::string name = {};               // series of one name, e.g. trials, share a colour and a line of the legend
  std::vector<double> x = {}, y = {};  // of one length, x ascending; values that are not finite leave a gap
};

struct LineChart {
  std::string title = {};
  std::string x_label = {};
  std::string y_label = {};
  std::vector<Series> series = {};
  std::vector<std::pair<std::string, double>> references = {};  // horizontal lines: {"ln H", 8.0}
  bool from_zero = false;                                       // the vertical axis begins at 0
  bool small = false;                                           // three in a row instead of two
  bool course = true;                                           // the legend gives each series' first and last value
};

// One row of dots per name on a common axis: trials, or the positions that deformable attention samples.
struct DotChart {
  struct Row {
    std::string name = {};
    std::vector<double> values = {};
  };
  std::string title = {};
  std::string x_label = {};
  std::vector<Row> rows = {};
  double low = 0, high = 0;  // of the axis; equal: from the values
  bool mean = false;         // marks each row's mean
  // A picture above the rows, from the axis's low to its high end: the figure then takes the page's width.
  std::filesystem::path strip = {};
};

// A series by itself that is long is drawn as means of neighbouring values with their range as a
// band; one of several with the same name without the band.
std::string to_html(const LineChart& chart);
std::string to_html(const DotChart& chart);

}  // namespace ivory::experiment
