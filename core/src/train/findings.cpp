#include "train/findings.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cmath>

namespace ivory::train {
namespace {

constexpr double plateau_tolerance = 0.01;
constexpr double hardly_off = 0.1;
constexpr double low_share_of_prototypes = 0.1;  // of those that a batch can reach
constexpr double collapsed_rank = 2;
constexpr double overlapping_crops = 0.75;  // docs/results.md: better than 0.4 on both sets
constexpr double little_weight_decay = 1e-6 * (1 + 1e-9);
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
  std::vector<std::string> ways = {seen.codes == Codes::k_means ? "fewer clusters"
                                                                : "fewer prototypes for this batch size"};
  if (seen.kind == SampleKind::volume) ways.emplace_back("views of a volume that differ less");
  if (seen.kind == SampleKind::slice && seen.crop_scale < overlapping_crops) {
    ways.push_back(c10::str("views that overlap (crops of at least ", overlapping_crops, " of the slice)"));
  }
  if (seen.weight_decay > little_weight_decay) ways.emplace_back("less weight decay (1e-6)");
  if (!seen.larc) ways.emplace_back("LARC (larc = true)");
  if (sinkhorn) {
    ways.emplace_back("a smaller epsilon");
    ways.emplace_back("prototypes that stay fixed for longer (freeze_steps)");
    ways.emplace_back("a queue that lets more samples share the codes (queue_length)");
  }
  ways.emplace_back("a higher learning rate after a short warm-up");
  return listed(ways);
}

// "" when nothing is wrong.
std::string judge_diagnostic(const Observation& seen, const std::string& name, double value) {
  const std::string which = c10::str("objective '", seen.objective, "': ");
  if (ends_with(name, "perplexity") && seen.plateau > 0) {
    const int64_t reachable = std::min(seen.prototypes, seen.batch_size);
    if (value >= std::max(1.5, low_share_of_prototypes * static_cast<double>(reachable))) return "";
    return c10::str(which, name, " is ", value, " of ", reachable,
                    " prototypes that a batch can reach: samples collapse onto few prototypes; ",
                    seen.codes == Codes::k_means ? "fewer clusters" : "a larger epsilon",
                    " or a lower learning rate spreads them");
  }
  if (ends_with(name, "score_spread") && value < flat_scores) {
    return c10::str(which, "samples' scores differ by only ", value,
                    " epsilon, so that all get nearly the same code; an epsilon of ", std::max(value, 0.01),
                    " times today's would tell them apart");
  }
  if (ends_with(name, "effective_rank") && value < collapsed_rank) {
    return c10::str(which, name, " is ", value,
                    ": the features lie on a line, that is, they have collapsed; a lower learning rate or a longer "
                    "warm-up may prevent it");
  }
  return "";
}

}  // namespace

void Findings::judge_losses(const Observation& seen, std::vector<std::string>& sentences) {
  for (const auto& [term, loss] : seen.terms) {
    const double off = seen.plateau > 0 ? loss / seen.plateau - 1 : -1;
    const bool stuck = std::abs(off) <= plateau_tolerance, above = off > plateau_tolerance;
    int64_t& epochs = epochs_at_plateau_[seen.objective + "/" + term];
    int64_t& epochs_above = epochs_above_[seen.objective + "/" + term];
    epochs = stuck ? epochs + 1 : 0;
    epochs_above = above ? epochs_above + 1 : 0;
    const std::string which = c10::str("objective '", seen.objective, "': the loss '", term, "' (", loss, ") ");
    if (seen.late && off < -plateau_tolerance && off > -hardly_off) {
      sentences.push_back(c10::str(
          which, "is still within ", std::lround(100 * hardly_off), " % of ln H = ", seen.plateau,
          " after half of the training: little is learned; to leave it sooner, use ", ways_off_the_plateau(seen)));
    }
    if (stuck) {
      sentences.push_back(c10::str(
          which, "sits at ln H = ", seen.plateau, " for ", epochs, epochs == 1 ? " epoch" : " epochs",
          ": predictions are no better than a uniform guess over the H prototypes, so nothing is learned yet; if it "
          "stays, use ",
          ways_off_the_plateau(seen), "; experiments/presets/small_medical.toml is a recipe that leaves it"));
    } else if (epochs_above > 1) {  // fresh weights may begin there
      sentences.push_back(c10::str(
          which, "is above ln H = ", seen.plateau, " for ", epochs_above,
          " epochs: predictions are worse than a uniform guess over the H prototypes, that is, sure of the wrong ones; "
          "if it stays, use a lower learning rate, a longer warm-up or a higher temperature"));
    }
  }
}

std::vector<std::string> Findings::after_epoch(const Observation& seen) {
  std::vector<std::string> sentences;
  judge_losses(seen, sentences);
  for (const auto& [name, value] : seen.diagnostics) {
    if (auto sentence = judge_diagnostic(seen, name, value); !sentence.empty()) sentences.push_back(sentence);
  }
  return sentences;
}

}  // namespace ivory::train
