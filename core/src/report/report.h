#pragma once
// report.html: one file that needs nothing else. Inline style and script, charts as SVG, pictures as data.

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "report/chart.h"
#include "report/plan_chart.h"
#include "table/table.h"

namespace ivory::experiment {

struct ReportPicture {
  std::filesystem::path file = {};  // PNG
  std::string caption = {};
  std::string alternative = {};  // what a reader who does not see it is told; the caption when empty
};

// E.g. slices with masks; a prototype with its nearest slices; slices that deformable attention samples.
struct PictureGroup {
  std::string title = {};
  std::string text = {};  // how to read the pictures; may be empty
  std::vector<ReportPicture> pictures = {};
  bool strips = false;  // rows of samples: all of one height, as wide as they are
};

struct Remark {
  std::string text = {};
  bool warning = false;
};

struct Link {
  std::string target = {};  // relative to the report
  std::string text = {};
  std::string remark = {};  // behind it
};

// A stage, or a task with all its rows and repetitions.
struct ReportSection {
  std::string title = {};
  std::vector<std::pair<std::string, std::string>> facts = {};  // {"steps", "1,200"}, {"training", "3 min 12 s"}
  std::vector<Remark> remarks = {};                             // diagnostics in words
  std::vector<LineChart> curves = {};
  std::vector<LineChart> diagnostics = {};  // small ones, after the curves
  std::vector<DotChart> dots = {};
  std::vector<ScatterChart> scatters = {};
  std::vector<ParallelChart> parallels = {};
  std::vector<HeatMap> heat_maps = {};
  std::optional<Table> table = {};  // e.g. scores by class
  std::vector<PictureGroup> pictures = {};
  std::vector<Link> links = {};
};

// Texts are plain: paragraphs are separated by an empty line, everything is escaped.
struct Report {
  std::string title = {};
  std::string subtitle = {};  // e.g. when and where it ran
  std::string progress = {};  // "3 of 9 parts done, 1 running"
  std::string note = {};
  std::string caveat = {};  // what the numbers do not show; set off from the text
  Table table = {};
  PlanChart plan = {};
  std::vector<ReportSection> sections = {};
  std::vector<std::pair<std::string, std::string>> provenance = {};
  std::string toml = {};  // the resolved experiment
};

// Where a page that a server shows asks whether there is a newer one.
struct Live {
  std::string tag = {};  // of what the page shows
};

// A picture that cannot be read is named in its place. A live page asks its server every two seconds, and takes over
// what has changed; a button halts that. Any other asks nobody for anything.
std::string to_html(const Report& report, const std::optional<Live>& live = {});

}  // namespace ivory::experiment
