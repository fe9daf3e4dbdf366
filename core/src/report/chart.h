#pragma once
// Figures of the report: a chart as an accessible <figure> with inline SVG.

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace ivory::experiment {

struct Series {
  std::string name = {};               // series of one name, e.g. repetitions, share a colour and a line of the legend
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
  bool spread = false;  // of several series with one name also the mean, with one standard deviation as a band
};

// One row of dots per name on a common axis: repetitions, or the positions that deformable attention samples.
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

// Two measurements of the same things against each other, on one scale with the line where both are equal.
struct ScatterChart {
  struct Point {
    double x = 0, y = 0;
    std::string label = {};
  };
  struct Group {
    std::string name = {};
    std::vector<Point> points = {};
  };
  std::string title = {};
  std::string x_label = {};
  std::string y_label = {};
  std::vector<Group> groups = {};
};

// A line per point of a sweep through its settings to its score; the higher the score the darker.
struct ParallelChart {
  struct Line {
    std::vector<std::string> settings = {};  // of each axis, as the experiment writes them
    double score = 0;
  };
  std::string title = {};
  std::string score = {};              // name of the last axis
  std::vector<std::string> axes = {};  // names of the others
  std::vector<Line> lines = {};
};

// Scores of a grid of two settings; NaN: none.
struct HeatMap {
  std::string title = {};
  std::string x_label = {};
  std::string y_label = {};
  std::vector<std::string> columns = {}, rows = {};
  std::vector<std::vector<double>> values = {};  // [row][column]
};

// A series by itself that is long is drawn as means of neighbouring values with their range as a
// band; one of several with the same name without the band.
std::string to_html(const LineChart& chart);
std::string to_html(const DotChart& chart);
std::string to_html(const ScatterChart& chart);
std::string to_html(const ParallelChart& chart);
std::string to_html(const HeatMap& chart);

}  // namespace ivory::experiment
