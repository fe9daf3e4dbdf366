#include "train/findings.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cmath>

namespace ivory::train {
namespace {

constexpr double plateau_tolerance = 0.01;
constexpr double low_share_of_prototypes = 0.1;  // of those that a batch can reach
constexpr double collapsed_rank = 2;
constexpr double flat_scores = 0.3;  // standard deviations of scores / ε, below which codes are nearly uniform

bool ends_with(const std::string& text, const std::string& ending) {
  return text.size() >= ending.size() && text.compare(text.size() - ending.size(), ending.size(), ending) == 0;
}

// "a, b or c"
std::string listed(const std::vector<std::string>& things) {
  std::string text;
  for (size_t i = 0; i < things.size(); ++i) {
    text += (i == 0 ? "" : i + 1 < things.size() ? ", " : " or ") + things[i];
  }
  return text;
}

// What leaves the plateau, the likeliest first, as far as the objective has it.
std::string ways_off_the_plateau(const Observation& seen) {
  const bool sinkhorn = seen.codes == Codes::sinkhorn;
  std::vector<std::string> ways = {
      seen.codes == Codes::k_means ? "fewer clusters" : "fewer prototypes for this batch size",
      seen.kind == SampleKind::slice ? "views that overlap (crops of at least 0.4 of the slice)"
                                     : "views of a volume that differ less",
      "less weight decay (1e-6)"};
  if (!seen.larc) ways.emplace_back("LARC (larc = true)");
  if (sinkhorn) {
    ways.emplace_back("a smaller epsilon");
    ways.emplace_back("prototypes that stay fixed for longer (freeze_steps)");
    ways.emplace_back("a queue that lets more samples share the codes (queue_length)");
  }
  ways.emplace_back("a higher learning rate after a short warm-up");
  return listed(ways);
}

}  // namespace

std::vector<std::string> Findings::after_epoch(const Observation& seen) {
  std::vector<std::string> sentences;
  for (const auto& [term, loss] : seen.terms) {
    int64_t& epochs = epochs_at_plateau_[seen.objective + "/" + term];
    const bool stuck = seen.plateau > 0 && std::abs(loss - seen.plateau) <= plateau_tolerance * seen.plateau;
    epochs = stuck ? epochs + 1 : 0;
    if (!stuck) continue;
    sentences.push_back(
        c10::str("objective '", seen.objective, "': the loss '", term, "' (", loss, ") sits at ln H = ", seen.plateau,
                 " for ", epochs, epochs == 1 ? " epoch" : " epochs",
                 ": predictions are no better than a uniform guess over the H prototypes, so nothing is "
                 "learned yet; if it stays, use ",
                 ways_off_the_plateau(seen), "; experiments/presets/small_medical.toml is a recipe that leaves it"));
  }
  for (const auto& [name, value] : seen.diagnostics) {
    if (ends_with(name, "perplexity") && seen.plateau > 0) {
      const int64_t reachable = std::min(seen.prototypes, seen.batch_size);
      if (value < std::max(1.5, low_share_of_prototypes * static_cast<double>(reachable))) {
        sentences.push_back(c10::str("objective '", seen.objective, "': ", name, " is ", value, " of ", reachable,
                                     " prototypes that a batch can reach: samples collapse onto few prototypes; ",
                                     seen.codes == Codes::k_means ? "fewer clusters" : "a larger epsilon",
                                     " or a lower learning rate spreads them"));
      }
    }
    if (ends_with(name, "score_spread") && value < flat_scores) {
      sentences.push_back(c10::str("objective '", seen.objective, "': samples' scores differ by only ", value,
                                   " epsilon, so that all get nearly the same code; an epsilon of ",
                                   std::max(value, 0.01), " times today's would tell them apart"));
    }
    if (ends_with(name, "effective_rank") && value < collapsed_rank) {
      sentences.push_back(
          c10::str("objective '", seen.objective, "': ", name, " is ", value,
                   ": the features lie on a line, that is, they have collapsed; a lower learning rate or "
                   "a longer warm-up may prevent it"));
    }
  }
  return sentences;
}

}  // namespace ivory::train
