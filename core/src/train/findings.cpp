#include "train/findings.h"

#include <ivory/error.h>

#include <cmath>

namespace ivory::train {
namespace {

constexpr double tolerance = 0.01;  // relative, within which a loss counts as chance
constexpr double hardly_off = 0.1;

// "a, b or c"
std::string listed(const std::vector<std::string>& things) {
  std::string text;
  for (size_t i = 0; i < things.size(); ++i) {
    text += (i == 0 ? "" : i + 1 < things.size() ? ", " : " or ") + things[i];
  }
  return text;
}

std::string use(const Observation& seen, const char* before) {
  return seen.remedies.empty() ? "" : before + listed(seen.remedies);
}

}  // namespace

void Findings::judge_losses(const Observation& seen, std::vector<std::string>& sentences) {
  for (const auto& [term, loss] : seen.terms) {
    const double off = seen.chance > 0 ? loss / seen.chance - 1 : -1;
    const bool stuck = std::abs(off) <= tolerance, above = off > tolerance;
    int64_t& epochs = epochs_at_chance_[seen.objective + "/" + term];
    int64_t& epochs_above = epochs_above_[seen.objective + "/" + term];
    epochs = stuck ? epochs + 1 : 0;
    epochs_above = above ? epochs_above + 1 : 0;
    const std::string which = joined({"objective '", seen.objective, "': the loss '", term, "' (", loss, ") "});
    if (seen.late && off < -tolerance && off > -hardly_off) {
      sentences.push_back(
          joined({which, "is still within ", std::lround(100 * hardly_off), " % of chance (", seen.chance,
                  ") after half of the training: little is learned", use(seen, "; to leave it sooner, use ")}));
    }
    if (stuck) {
      sentences.push_back(joined(
          {which, "has been at chance (", seen.chance, ") for ", epochs, epochs == 1 ? " epoch" : " epochs",
           ": predictions are no better than a uniform guess, so nothing is learned yet",
           use(seen, "; if it stays, use "), "; experiments/presets/small_medical.toml is a recipe that leaves it"}));
    } else if (epochs_above > 1) {  // fresh weights may begin there
      sentences.push_back(joined({which, "has been above chance (", seen.chance, ") for ", epochs_above,
                                  " epochs: predictions are worse than a uniform guess, that is, sure of the wrong "
                                  "ones; if it stays, use a lower learning rate, a longer warm-up or a higher "
                                  "temperature"}));
    }
  }
}

std::vector<std::string> Findings::after_epoch(const Observation& seen) {
  std::vector<std::string> sentences;
  judge_losses(seen, sentences);
  for (const auto& [name, measured] : seen.measures) {
    if (!measured.low || !(measured.value < *measured.low)) continue;
    sentences.push_back(
        joined({"objective '", seen.objective, "': ", name, " is ", measured.value, ": ", measured.if_low}));
  }
  return sentences;
}

}  // namespace ivory::train
