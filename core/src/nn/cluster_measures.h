#pragma once
// What objectives that cluster measure alike, with the thresholds of docs/results.md below which it is a finding.

#include <ivory/objective.h>

#include <algorithm>
#include <string>

namespace ivory::nn {

// Prototypes in use, 1 … all; a batch reaches at most as many as it has samples.
inline Measure perplexity_measure(double value, double all, int64_t batch, const std::string& remedy) {
  constexpr double low_share = 0.1;
  const double reachable = std::min(all, static_cast<double>(batch));
  return {.name = "prototype_perplexity",
          .value = value,
          .unit = "prototypes",
          .compare = all,
          .compare_label = "all, H",
          .low = std::max(1.5, low_share * reachable),
          .if_low = "samples collapse onto few of the " + std::to_string(static_cast<int64_t>(reachable)) +
                    " prototypes that a batch can reach; " + remedy + " or a lower learning rate spreads them"};
}

inline Measure rank_measure(double value) {
  return {.name = "effective_rank",
          .value = value,
          .unit = "dimensions",
          .low = 2,
          .if_low =
              "the features lie on a line, that is, they have collapsed; a lower learning rate or a longer warm-up "
              "may prevent it"};
}

}  // namespace ivory::nn
