#pragma once
// How an objective gives samples their codes, whichever plugin it is.

#include <ivory/options.h>

#include <algorithm>

namespace ivory::train {

enum class Codes { other, sinkhorn, k_means };

// By the options that it declares: those of ivory/nn/swapped_prediction.h or of ivory/nn/deep_cluster.h; where it has
// both, `codes` tells which of them it reads.
inline Codes codes_of(const Options& options) {
  const auto has = [&](std::initializer_list<const char*> names) {
    return std::all_of(names.begin(), names.end(), [&](const char* name) { return options.values().contains(name); });
  };
  const bool sinkhorn = has({"prototypes", "queue_length", "queue_start", "freeze_steps", "epsilon"});
  const bool k_means = has({"clusters"});
  if (k_means && (!sinkhorn || (has({"codes"}) && options.get<std::string>("codes") == "deepcluster-v2"))) {
    return Codes::k_means;
  }
  return sinkhorn ? Codes::sinkhorn : Codes::other;
}

}  // namespace ivory::train
