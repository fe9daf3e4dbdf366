#pragma once
// Successive halving, synchronously: once every point that is still in has come to a rung, the better part goes on.
// What is decided follows from what metrics.jsonl of the compared parts says of that epoch, and from nothing else: not
// from how many ran side by side, nor from which was first.

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "run/sweep_policy.h"

namespace ivory::experiment {

// What a part measured in its epoch number `epoch` (from 1), or in its last one where it is done and had fewer. Empty
// while it has not come there; NaN where the epoch has no value. Throws run_failed where there is none of that name.
std::optional<double> value_at(const std::filesystem::path& part, const config::HalvingSpec& spec, int64_t epoch);

// The best ⌈keep · n⌉ of n, at least one. NaN comes last; of equal values the first is the better.
std::vector<bool> go_on(const std::vector<double>& values, const config::HalvingSpec& spec);

struct HalvingPoint {
  std::string name;
  std::vector<size_t> compared, entries;  // of the queue; entries: all
};

// The rungs of a sweep, from the first to the last. Until the last is decided only what the comparison needs is run.
class Halving : public SweepPolicy {
 public:
  // `folder`: of an entry's part. The queue must outlive this.
  Halving(const config::HalvingSpec& spec, PartQueue& queue, std::vector<HalvingPoint> points,
          std::function<std::filesystem::path(size_t)> folder);

  bool may_start(size_t entry) const override { return over() || needed_.contains(entry); }
  int64_t until_epoch(size_t entry) const override;
  // Whether it is compared and has come to the rung.
  bool pause_if_there(size_t entry) override;
  // When all have come to the rung, or have failed and so count no more, ends the entries that only stopped points have
  // and lets the others go on. Returns whether anything was decided.
  bool decide() override;

  std::vector<StoppedPart> take_stopped() override { return std::exchange(stopped_now_, {}); }
  bool stops_parts() const override { return true; }
  // "halving: of 8 points 4 were stopped at epoch 10, 2 at epoch 20, 2 went on"
  std::string summary() const override;
  std::string record_name() const override { return "halving.json"; }
  nlohmann::json record() const override { return record_; }

 private:
  enum class State { in, lost, stopped };
  bool over() const { return rung_ == spec_.rungs.size(); }
  bool is_compared(size_t entry) const { return compared_.contains(entry); }
  std::optional<double> value_of(const HalvingPoint& point) const;
  void need(size_t entry);
  bool all_there() const;
  void leave_lost();
  void stop_worse(const std::vector<size_t>& in, const std::vector<double>& values);
  std::set<size_t> entries_of_others() const;
  void end_entries(const HalvingPoint& point, const std::set<size_t>& but, const std::string& reason);

  const config::HalvingSpec spec_;
  PartQueue& queue_;
  const std::vector<HalvingPoint> points_;
  const std::function<std::filesystem::path(size_t)> folder_;
  std::vector<State> states_;
  std::vector<size_t> stopped_at_;  // how many, of each rung
  std::set<size_t> needed_, compared_;
  std::vector<StoppedPart> stopped_now_;
  size_t rung_ = 0;
  nlohmann::json record_;
};

std::unique_ptr<Halving> make_halving(const std::vector<SweepPoint>& points, PartQueue& queue);
// "  halving: after epochs 10, 20 of stage slices the 50 % of the points with the least loss go on"
std::string describe(const config::HalvingSpec& spec);

}  // namespace ivory::experiment
