#pragma once
// The plan of an experiment, or of all points of a sweep, as a picture: what begins from what, and how far each part
// is.

#include <optional>
#include <string>
#include <vector>

#include "plan/part_state.h"

namespace ivory::experiment {

struct ChartPart {
  PartKind kind = PartKind::stage;
  std::string name = {};
  std::string from = {};   // as Part::from
  std::string label = {};  // "task head, from joint, repetition 2"
  PartStatus status = {};
  std::optional<double> seconds = {};  // measured, if it is done; else about what is left; empty: not known
  int64_t peak_mib = 0;                // of its process, measured, or of one of its name; 0: not known
};

// Parts of one name that begin from one stage are one box, with a mark for each.
struct PlanChart {
  std::string title = {};
  std::vector<ChartPart> parts = {};  // stages before what begins from them
};

// With so many boxes or fewer each is drawn; of more, the tasks of a stage are one, then all stages of a depth.
constexpr size_t most_boxes = 40;

// The figure, then the same as a table that is folded away.
std::string to_html(const PlanChart& chart);

}  // namespace ivory::experiment
