#include <ivory/detection_metrics.h>
#include <ivory/error.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "eval/bootstrap.h"

namespace ivory {
namespace {

constexpr double unknown_diameter = 10;  // mm

bool hits(const Mark& mark, const Nodule& nodule) {
  const double radius = (nodule.diameter < 0 ? unknown_diameter : nodule.diameter) / 2;
  double square = 0;
  for (size_t axis = 0; axis < 3; ++axis) square += std::pow(mark.centre[axis] - nodule.centre[axis], 2);
  return square < radius * radius;
}

double mean(const std::array<double, 7>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// The entries ⌊0.025 n⌋ and ⌊0.975 n⌋ of the values in order, as LUNA16 takes them.
Interval interval_of(std::vector<double> values) {
  Interval interval;
  interval.undefined = static_cast<int64_t>(std::erase_if(values, [](double value) { return std::isnan(value); }));
  if (values.empty()) return {std::nan(""), std::nan(""), interval.undefined};
  std::ranges::sort(values);
  const auto entry = [&](double share) {
    return values[static_cast<size_t>(share * static_cast<double>(values.size()))];
  };
  interval.low = entry(0.025);
  interval.high = entry(0.975);
  return interval;
}

// A curve's height at x: linear between points, the upper one where two have the same x; flat beyond the last.
double height_at(const std::vector<std::array<double, 2>>& curve, double x) {
  const auto above = std::ranges::upper_bound(curve, x, {}, [](const auto& point) { return point[0]; });
  if (above == curve.begin()) return curve.front()[1];
  const auto& below = *(above - 1);
  if (above == curve.end() || below[0] == x) return below[1];
  return below[1] + ((*above)[1] - below[1]) * (x - below[0]) / ((*above)[0] - below[0]);
}

}  // namespace

void Froc::add(const std::vector<Mark>& marks, const std::vector<Nodule>& nodules) {
  std::vector<Mark> best = marks;
  for (const Mark& mark : best) IVORY_CHECK(!std::isnan(mark.score), "FROC: expected numbers as scores, got NaN");
  std::ranges::stable_sort(best, std::greater<>(), &Mark::score);
  if (static_cast<int64_t>(best.size()) > most_marks_) {
    dropped_ += static_cast<int64_t>(best.size()) - most_marks_;
    best.resize(static_cast<size_t>(most_marks_));
  }
  const auto scan = static_cast<int64_t>(nodules_.size());
  nodules_.push_back(0);
  std::vector<bool> used(best.size(), false);
  for (const Nodule& nodule : nodules) {
    std::optional<double> score;
    for (size_t m = 0; m < best.size(); ++m) {
      if (!hits(best[m], nodule)) continue;
      used[m] = true;
      if (!score) score = best[m].score;  // best first
    }
    if (nodule.excluded) continue;
    ++nodules_.back();
    if (score) events_.push_back({*score, scan, true});
  }
  for (size_t m = 0; m < best.size(); ++m)
    if (!used[m]) events_.push_back({best[m].score, scan, false});
}

std::array<double, 7> Froc::sensitivities(std::span<const int64_t> times) const {
  double scans = 0, nodules = 0;
  for (size_t s = 0; s < nodules_.size(); ++s) {
    scans += static_cast<double>(times[s]);
    nodules += static_cast<double>(times[s] * nodules_[s]);
  }
  std::array<double, 7> result{};
  result.fill(std::nan(""));
  if (nodules == 0) return result;
  std::vector<std::array<double, 2>> curve = {{0, 0}};  // false positives per scan, sensitivity
  double hit = 0, wrong = 0;
  for (size_t i = 0; i < events_.size();) {
    const double score = events_[i].score;
    for (; i < events_.size() && events_[i].score == score; ++i)
      (events_[i].hit ? hit : wrong) += static_cast<double>(times[static_cast<size_t>(events_[i].scan)]);
    curve.push_back({wrong / scans, hit / nodules});
  }
  for (size_t r = 0; r < result.size(); ++r) result[r] = height_at(curve, FrocResult::rates[r]);
  return result;
}

FrocResult Froc::result(int64_t draws, uint64_t seed) const {
  FrocResult result;
  result.nodules = std::accumulate(nodules_.begin(), nodules_.end(), int64_t{0});
  result.found = std::ranges::count_if(events_, &Event::hit);
  result.false_positives = static_cast<int64_t>(events_.size()) - result.found;
  result.marks_dropped = dropped_;
  IVORY_CHECK(!nodules_.empty(), "FROC: there is no scan to score");
  IVORY_CHECK(result.nodules > 0, "FROC: none of ", nodules_.size(),
              " scans has a nodule, so no sensitivity is defined");
  Froc sorted = *this;
  std::ranges::stable_sort(sorted.events_, std::greater<>(), &Event::score);
  const std::vector<int64_t> once(nodules_.size(), 1);
  result.sensitivity = sorted.sensitivities(once);
  result.score = mean(result.sensitivity);
  if (draws == 0) return result;
  std::array<std::vector<double>, 7> by_rate;
  const auto scores =
      eval::bootstrap(static_cast<int64_t>(nodules_.size()), draws, seed, [&](std::span<const int64_t> times) {
        const auto drawn = sorted.sensitivities(times);
        for (size_t r = 0; r < drawn.size(); ++r) by_rate[r].push_back(drawn[r]);
        return mean(drawn);
      });
  for (size_t r = 0; r < by_rate.size(); ++r) result.sensitivity_interval[r] = interval_of(by_rate[r]);
  result.score_interval = interval_of(scores);
  return result;
}

}  // namespace ivory
