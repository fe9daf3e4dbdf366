#include "report/plan_chart.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <map>

#include "base/text.h"
#include "plan/estimate.h"
#include "report/drawing.h"
#include "report/html.h"

namespace ivory::experiment {
namespace {

using c10::str;
using html::escape;
using namespace drawing;

constexpr double box_width = 196, gap_down = 12, gap_across = 44, margin = 12;
constexpr double pitch = 13;                              // of the marks in a box
constexpr size_t per_row = 13, most_marks = 3 * per_row;  // of more, a bar with the share of each state

struct Box {
  PartKind kind = PartKind::stage;
  std::string title, from;
  size_t column = 0;
  std::vector<const ChartPart*> parts = {};
  std::vector<size_t> inputs = {};  // boxes
  double y = 0, tall = 0;

  std::map<PartState, size_t> counts() const {
    std::map<PartState, size_t> result;
    for (const auto* part : parts) ++result[part->status.state];
    return result;
  }
};

enum class Grouping { by_name, tasks_by_origin, by_depth };

// Boxes in the order of the parts.
class Boxes {
 public:
  Boxes(const std::vector<ChartPart>& parts, Grouping grouping) : grouping_(grouping) {
    for (const auto& part : parts) {
      if (part.kind == PartKind::stage) {
        depth_[part.name] = depth_.contains(part.from) ? depth_[part.from] + 1 : 0;
      }
    }
    for (const auto& [name, depth] : depth_) last_column_ = std::max(last_column_, depth + 1);
    for (const auto& part : parts) add(part);
  }

  std::vector<Box> take() {
    for (Box& box : boxes_) box.tall = 44 + (box.parts.size() > 1 ? pitch * rows_of(box.parts.size()) : 0);
    return std::move(boxes_);
  }

 private:
  static double rows_of(size_t count) {
    return count > most_marks ? 1 : static_cast<double>((count + per_row - 1) / per_row);
  }

  void add(const ChartPart& part) {
    const bool stage = part.kind == PartKind::stage;
    const size_t column = stage ? depth_[part.name] : last_column_;
    std::string key = str(stage ? "s" : "t", column);
    if (grouping_ != Grouping::by_depth) key += "/" + part.from;
    if (grouping_ == Grouping::by_name || (stage && grouping_ == Grouping::tasks_by_origin)) key += "/" + part.name;
    const auto [found, added] = index_.try_emplace(key, boxes_.size());
    if (added) boxes_.push_back({part.kind, part.name, part.from, column});
    Box& box = boxes_[found->second];
    if (box.title != part.name) box.title = stage ? "stages" : "tasks";
    if (box.from != part.from) box.from = "several";
    box.parts.push_back(&part);
    if (stage) box_of_[part.name] = found->second;
    if (const auto input = box_of_.find(part.from); input != box_of_.end() && input->second != found->second) {
      if (std::count(box.inputs.begin(), box.inputs.end(), input->second) == 0) box.inputs.push_back(input->second);
    }
  }

  const Grouping grouping_;
  std::map<std::string, size_t> depth_, index_, box_of_;
  size_t last_column_ = 0;
  std::vector<Box> boxes_;
};

std::vector<Box> boxes_of(const std::vector<ChartPart>& parts) {
  for (const Grouping grouping : {Grouping::by_name, Grouping::tasks_by_origin}) {
    auto boxes = Boxes(parts, grouping).take();
    if (boxes.size() <= most_boxes) return boxes;
  }
  return Boxes(parts, Grouping::by_depth).take();
}

// Where the box would stand: beside those that begin from it.
double wanted(const std::vector<Box>& boxes, size_t index) {
  double sum = 0, count = 0;
  for (const Box& other : boxes) {
    if (std::count(other.inputs.begin(), other.inputs.end(), index) == 0) continue;
    sum += other.y + other.tall / 2;
    ++count;
  }
  return count > 0 ? sum / count - boxes[index].tall / 2 : -1;
}

// From the last column to the first, each below the one before it. Returns the height.
double place(std::vector<Box>& boxes) {
  size_t columns = 0;
  for (const Box& box : boxes) columns = std::max(columns, box.column + 1);
  double height = 0;
  for (size_t column = columns; column-- > 0;) {
    std::vector<std::pair<double, size_t>> order;
    for (size_t i = 0; i < boxes.size(); ++i) {
      if (boxes[i].column != column) continue;
      order.emplace_back(wanted(boxes, i), i);
      // Tasks stand in the order of what they begin from, those from scratch below.
      if (column + 1 == columns) {
        order.back().first = boxes[i].inputs.empty() ? 1e9 : static_cast<double>(boxes[i].inputs.front());
      }
    }
    std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    double free = margin;
    for (const auto& [desired, i] : order) {
      boxes[i].y = column + 1 == columns ? free : std::max(free, desired);
      free = boxes[i].y + boxes[i].tall + gap_down;
    }
    height = std::max(height, free);
  }
  return height;
}

const char* style_of(PartState state) {
  switch (state) {
    case PartState::done:
      return "done";
    case PartState::running:
      return "running";
    case PartState::failed:
      return "failed";
    case PartState::stopped_early:
      return "stopped";
    case PartState::interrupted:
      return "interrupted";
    case PartState::missing:
      return "todo";
    case PartState::without_data:
      return "nodata";
  }
  return "";
}

// 10 × 10; states differ in their shape as well as in their colour.
std::string mark(PartState state, double x, double y, const std::string& title) {
  const char* inner = "";
  switch (state) {
    case PartState::running:
      inner = "m2.5 2.5v5l5-2.5z";
      break;
    case PartState::failed:
      inner = "m2 2l6 6m0-6l-6 6";
      break;
    case PartState::stopped_early:
      inner = "m2 5h6";
      break;
    case PartState::interrupted:
      inner = "m3.5 2.5v5m3-5v5";
      break;
    default:
      break;
  }
  const std::string at = str("M", fixed(x), " ", fixed(y));
  return str("<g class=\"mark ", style_of(state), "\">", title.empty() ? "" : str("<title>", escape(title), "</title>"),
             "<path class=\"back\" d=\"", at, "h10v10h-10z\"/>",
             *inner ? str("<path class=\"sign\" d=\"", at, inner, "\"/>") : "", "</g>");
}

std::string counts_text(const Box& box) {
  const auto counts = box.counts();
  std::string text;
  for (const auto& [state, count] : counts) {
    text += str(text.empty() ? "" : ", ", box.parts.size() > 1 ? str(count, " ") : "", to_text(state));
  }
  return text;
}

std::string origin_text(const Box& box) {
  if (box.from == "scratch") return "from scratch";
  if (box.from == "several") return "from several stages";
  return box.from.empty() ? "" : "from " + box.from;
}

// The state that most asks for a look.
PartState state_of(const Box& box) {
  const auto counts = box.counts();
  for (const PartState state : {PartState::failed, PartState::running, PartState::interrupted}) {
    if (counts.contains(state)) return state;
  }
  return counts.rbegin()->first;
}

std::string fitting(const std::string& text, size_t most) {
  return text.size() <= most ? text : text.substr(0, most - 1) + "…";
}

std::string marks_of(const Box& box, double x, double y) {
  std::string drawing;
  if (box.parts.size() > most_marks) {
    double at = x;
    for (const auto& [state, count] : box.counts()) {
      const double wide = (box_width - 20) * static_cast<double>(count) / static_cast<double>(box.parts.size());
      drawing += str("<g class=\"mark ", style_of(state), "\"><title>", count, " ", to_text(state),
                     "</title><path class=\"back\" d=\"M", fixed(at), " ", fixed(y), "h", fixed(wide), "v10h-",
                     fixed(wide), "z\"/></g>");
      at += wide;
    }
    return drawing;
  }
  for (size_t i = 0; i < box.parts.size(); ++i) {
    const auto& part = *box.parts[i];
    drawing += mark(part.status.state, x + pitch * static_cast<double>(i % per_row),
                    y + pitch * static_cast<double>(i / per_row), part.label + ": " + to_text(part.status.state));
  }
  return drawing;
}

std::string drawn(const Box& box, double x) {
  std::string drawing = str("<rect class=\"box ", style_of(state_of(box)), "\" x=\"", fixed(x), "\" y=\"", fixed(box.y),
                            "\" width=\"", fixed(box_width), "\" height=\"", fixed(box.tall), "\" rx=\"4\"/>");
  const bool single = box.parts.size() == 1;
  if (single) drawing += mark(box.parts.front()->status.state, x + 10, box.y + 9, "");
  const bool task = box.kind == PartKind::task;
  drawing +=
      text(x + (single ? 27 : 10), box.y + 18, "name",
           fitting(single || box.title == "stages" || box.title == "tasks" ? box.title
                                                                           : str(box.title, " × ", box.parts.size()),
                   single ? 22 : 25));
  const std::string origin = task || box.from == "several" ? origin_text(box) : "";
  const std::string counts = counts_text(box);
  drawing += text(x + 10, box.y + 34, "", fitting(str(origin, origin.empty() ? "" : ": ", counts), 31));
  if (!single) drawing += marks_of(box, x + 10, box.y + 42);
  return drawing;
}

std::string edge(double x, double y, double to_x, double to_y) {
  const double middle = (x + to_x) / 2;
  return str("<path class=\"edge\" d=\"M", fixed(x), " ", fixed(y), "C", fixed(middle), " ", fixed(y), " ",
             fixed(middle), " ", fixed(to_y), " ", fixed(to_x), " ", fixed(to_y), "\"/>");
}

std::string key_of(const std::map<PartState, size_t>& counts) {
  std::string legend;
  for (const auto& [state, count] : counts) {
    legend += str("<li><svg class=\"key\" viewBox=\"-8 -1 26 12\" aria-hidden=\"true\">", mark(state, 0, 0, ""),
                  "</svg>", to_text(state), " <span class=\"course\">", count, "</span></li>");
  }
  return str("<ul class=\"legend\">", legend, "</ul>\n");
}

// "12 s; about 3.0 min left, without 2 parts never measured"
std::string time_of(const Box& box) {
  double done = 0, left = 0;
  size_t unknown = 0;
  bool measured = false, estimated = false;
  for (const auto* part : box.parts) {
    const bool ended = part->status.state == PartState::done;
    if (!part->seconds) {
      unknown += !ended;
      continue;
    }
    (ended ? measured : estimated) = true;
    (ended ? done : left) += *part->seconds;
  }
  std::string text = measured ? base::duration_text(done) : "";
  if (estimated) text += (text.empty() ? "about " : "; about ") + base::duration_text(left) + " left";
  if (text.empty()) return "–";
  return unknown > 0 ? text + str(", without ", unknown, unknown == 1 ? " part" : " parts", " never measured") : text;
}

std::string memory_of(const Box& box) {
  int64_t most = 0;
  for (const auto* part : box.parts) most = std::max(most, part->peak_mib);
  return most > 0 ? str(most, " MiB") : "–";
}

// Box by box, with the reason of each failure.
std::string table_of(const std::vector<Box>& boxes) {
  std::string rows;
  for (const Box& box : boxes) {
    std::string reasons;
    constexpr size_t most = 3;
    size_t failures = 0;
    for (const auto* part : box.parts) {
      if (part->status.reason.empty() || ++failures > most) continue;
      reasons += str("<br>", escape(part->label), ": ", escape(part->status.reason));
    }
    if (failures > most) reasons += str("<br>and ", failures - most, " more");
    const char* kind = box.title == "stages" || box.title == "tasks" ? ""
                       : box.kind == PartKind::stage                 ? "stage "
                                                                     : "task ";
    rows += str("<tr><th scope=\"row\">", kind, escape(box.title), "</th><td>",
                escape(box.from == "scratch" ? "scratch"
                       : box.from.empty()    ? "–"
                                             : box.from),
                "</td><td>", box.parts.size(), "</td><td>", counts_text(box), reasons, "</td><td>", time_of(box),
                "</td><td>", memory_of(box), "</td></tr>\n");
  }
  return str(
      "<details><summary>The plan as a table</summary>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
      "aria-label=\"The plan as a table\"><table><thead><tr><th scope=\"col\">Part</th>"
      "<th scope=\"col\">Begins from</th><th scope=\"col\">Number</th><th scope=\"col\">State</th>"
      "<th scope=\"col\">Time, one after the other</th><th scope=\"col\">Memory of the process</th></tr></thead>\n"
      "<tbody>\n",
      rows, "</tbody></table></div></details>\n");
}

}  // namespace

std::string to_html(const PlanChart& chart) {
  if (chart.parts.empty()) return "";
  auto boxes = boxes_of(chart.parts);
  const double height = place(boxes);
  size_t columns = 0;
  std::map<PartState, size_t> counts;
  for (const Box& box : boxes) {
    columns = std::max(columns, box.column + 1);
    for (const auto& [state, count] : box.counts()) counts[state] += count;
  }
  const double width = std::max(full_width, static_cast<double>(columns) * (box_width + gap_across));
  const double step = columns > 1 ? std::min(300.0, (width - box_width - 4) / static_cast<double>(columns - 1)) : 0;
  const auto across = [&](const Box& box) { return 2 + step * static_cast<double>(box.column); };
  std::string edges, drawing, summary = progress_text(counts) + ". ";
  for (const Box& box : boxes) {
    drawing += drawn(box, across(box));
    for (const size_t input : box.inputs) {
      const Box& other = boxes[input];
      edges += edge(across(other) + box_width, other.y + other.tall / 2, across(box), box.y + box.tall / 2);
    }
    summary += str(box.title, box.from.empty() ? "" : ", " + origin_text(box), ": ", counts_text(box), ". ");
  }
  return "<div class=\"charts\">" + figure(chart.title, summary, width, height, edges + drawing, key_of(counts)) +
         "</div>\n" + table_of(boxes);
}

}  // namespace ivory::experiment
