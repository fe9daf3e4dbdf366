#include "eval/bootstrap.h"

#include <ivory/error.h>
#include <ivory/random.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace ivory {
namespace eval {

std::vector<double> bootstrap(int64_t count, int64_t draws, uint64_t seed,
                              const std::function<double(std::span<const int64_t>)>& figure) {
  std::vector<double> values;
  std::vector<int64_t> times(static_cast<size_t>(count));
  for (int64_t draw = 0; draw < draws; ++draw) {
    CounterRandom random(seed, 0, static_cast<uint64_t>(draw), 0);
    std::ranges::fill(times, 0);
    for (int64_t i = 0; i < count; ++i) ++times[static_cast<size_t>(random.below(count))];
    values.push_back(figure(times));
  }
  return values;
}

}  // namespace eval

namespace {

struct Candidates {
  std::vector<double> score;   // descending
  std::vector<bool> positive;  // in this order
  std::vector<size_t> scan;    // from 0
  int64_t scans = 0;
};

Candidates sorted(const torch::Tensor& scores, const torch::Tensor& labels, const torch::Tensor& scans) {
  const auto order = scores.argsort(/*stable=*/true, /*dim=*/0, /*descending=*/true);
  const auto [distinct, scan] = torch::_unique(scans.to(torch::kCPU, torch::kInt64), true, true);
  Candidates candidates{.score = {}, .positive = {}, .scan = {}, .scans = distinct.numel()};
  const auto s = scores.index_select(0, order), l = labels.index_select(0, order), n = scan.index_select(0, order);
  for (int64_t i = 0; i < s.numel(); ++i) {
    candidates.score.push_back(s.data_ptr<double>()[i]);
    candidates.positive.push_back(l.data_ptr<double>()[i] == 1);
    candidates.scan.push_back(static_cast<size_t>(n.data_ptr<int64_t>()[i]));
  }
  return candidates;
}

// AUC with each scan counted as often as it was drawn; NaN when a class is absent.
double weighted_auc(const Candidates& of, std::span<const int64_t> times) {
  double positives = 0, negatives = 0, pairs = 0;
  for (size_t i = 0; i < of.score.size();) {
    double tied_positives = 0, tied_negatives = 0;
    const double score = of.score[i];
    for (; i < of.score.size() && of.score[i] == score; ++i) {
      (of.positive[i] ? tied_positives : tied_negatives) += static_cast<double>(times[of.scan[i]]);
    }
    pairs += tied_negatives * (positives + tied_positives / 2);  // each against the positives above it
    positives += tied_positives;
    negatives += tied_negatives;
  }
  return positives > 0 && negatives > 0 ? pairs / (positives * negatives) : std::nan("");
}

double linear_quantile(const std::vector<double>& ascending, double quantile) {
  const double place = quantile * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, ascending.size() - 1);
  return std::lerp(ascending[below], ascending[above], place - static_cast<double>(below));
}

}  // namespace

Interval auc_interval(const torch::Tensor& scores, const torch::Tensor& labels, const torch::Tensor& scans,
                      int64_t draws, uint64_t seed) {
  auc(scores, labels);  // refuses what has no AUC
  IVORY_CHECK(scans.sizes() == scores.sizes(), "AUC: expected the scan of each of ", scores.numel(), " scores, got ",
              scans.sizes());
  IVORY_CHECK(draws > 0, "AUC: ", draws, " bootstraps, expected at least 1");
  const Candidates candidates = sorted(scores.detach().to(torch::kCPU, torch::kFloat64),
                                       labels.detach().to(torch::kCPU, torch::kFloat64), scans.detach());
  auto values = eval::bootstrap(candidates.scans, draws, seed,
                                [&](std::span<const int64_t> times) { return weighted_auc(candidates, times); });
  Interval interval;
  interval.undefined = static_cast<int64_t>(std::erase_if(values, [](double value) { return std::isnan(value); }));
  if (values.empty()) return {std::nan(""), std::nan(""), interval.undefined};
  std::ranges::sort(values);
  interval.low = linear_quantile(values, 0.025);
  interval.high = linear_quantile(values, 0.975);
  return interval;
}

}  // namespace ivory
