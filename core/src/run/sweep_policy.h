#pragma once
// What a sweep that runs side by side asks before it begins, pauses or ends a part. The plain policy runs every part to
// its end; successive halving (run/halving.h) is another.

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "plan/plan.h"
#include "run/part_queue.h"

namespace ivory::experiment {

struct StoppedPart {
  size_t entry;
  std::string reason;  // "stopped early at epoch 2: loss 3.21 is 3rd of 4, 2 go on"
};

// `entry`: of the queue.
class SweepPolicy {
 public:
  virtual ~SweepPolicy() = default;
  virtual bool may_start(size_t) const { return true; }
  // The epoch at which the part saves and ends for now; 0: its own end.
  virtual int64_t until_epoch(size_t) const { return 0; }
  // Whether it has come to that epoch; it is then paused until decide() lets it go on.
  virtual bool pause_if_there(size_t) { return false; }
  // Looks at what has been measured, ends parts and lets paused ones go on. Returns whether anything was decided.
  virtual bool decide() { return false; }
  virtual std::vector<StoppedPart> take_stopped() { return {}; }
  // Whether parts may be ended early: how long the rest takes is then not known.
  virtual bool stops_parts() const { return false; }
  virtual std::string summary() const { return ""; }      // one line at the end; "": nothing to say
  virtual std::string record_name() const { return ""; }  // of the file that keeps all decisions
  virtual nlohmann::json record() const;
};

struct SweepPoint {
  const config::Experiment& experiment;
  const Plan& plan;
  const std::vector<size_t>& entries;  // of the queue, one a part
};

// The policy that the experiment asks for. The queue must outlive it.
std::unique_ptr<SweepPolicy> make_sweep_policy(const std::vector<SweepPoint>& points, PartQueue& queue);

// Whether the experiment's policy compares points while they run, which needs all of them in one process's hands.
bool compares_points(const config::Experiment& experiment);
// What the policy does, one line for --dry-run; "" of the plain one.
std::string describe_policy(const config::Experiment& experiment);

}  // namespace ivory::experiment
