#pragma once
// What becomes of a part: asked by everything that runs, submits or lists parts, and decided here alone. Nothing here
// reads a file.

#include <set>
#include <string>
#include <vector>

#include "plan/part_state.h"
#include "plan/plan.h"

namespace ivory::experiment {

// What to do with parts that failed last time. all: run them again. none: skip them. only: run nothing but failed and
// interrupted parts and whatever depends on them.
enum class Retry { all, none, only };

enum class Fate { done, run, wait, skip };

struct Verdict {
  Fate fate = Fate::skip;
  std::string why = {};             // of skip: "its data are missing"
  bool failed = false;              // of skip: it failed before, and is not tried again
  std::set<std::string> jobs = {};  // of wait: the jobs of Slurm that have it; none: a process, view.owner
};

// Why the plan's parts are left out by `retry`, "" of those that are not. Parts that were done are never left out. The
// views are not looked at with Retry::all.
std::vector<std::string> left_out(const Plan& plan, const std::vector<PartView>& views, Retry retry);

// The verdict on part number `part`. `left_out`: of this part. `inputs`: the verdicts on its inputs; of an input that
// was run since, what came of it: done or skip. The first that holds:
//   done already                                  → done
//   its data are missing                          → skip
//   jobs of Slurm have it, and it runs, or none
//   of its inputs is to be run                    → wait   (a queued part begins too early for an input run anew)
//   it is barred, left out, or an input is skip   → skip
//   a process runs it                             → wait
//   otherwise                                     → run
Verdict verdict(const Plan& plan, size_t part, const PartView& view, const std::string& left_out,
                const std::vector<Verdict>& inputs);

// The same of all parts at once.
std::vector<Verdict> verdict(const Plan& plan, const std::vector<PartView>& views, Retry retry);

}  // namespace ivory::experiment
