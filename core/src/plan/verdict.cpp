#include "plan/verdict.h"

#include <algorithm>

namespace ivory::experiment {
namespace {

Verdict skip(std::string why) {
  return {.fate = Fate::skip, .why = std::move(why)};
}

}  // namespace

std::vector<std::string> left_out(const Plan& plan, const std::vector<PartView>& views, Retry retry) {
  std::vector<std::string> reasons(plan.parts.size());
  if (retry == Retry::all) return reasons;
  std::vector<bool> retried(plan.parts.size());  // of Retry::only
  for (size_t i = 0; i < plan.parts.size(); ++i) {
    const PartView& view = views[i];
    if (view.done) continue;
    if (retry == Retry::none) {
      if (view.failure) reasons[i] = "it failed before: " + *view.failure;
      continue;
    }
    const bool interrupted = view.begun && !view.early_stop;
    retried[i] = view.failure || interrupted ||
                 std::ranges::any_of(plan.parts[i].inputs, [&](size_t input) { return bool{retried[input]}; });
    if (!retried[i]) reasons[i] = "it is not among what failed (--retry-failed)";
  }
  return reasons;
}

Verdict verdict(const Plan& plan, size_t part, const PartView& view, const std::string& left_out,
                const std::vector<Verdict>& inputs) {
  const auto input_with = [&](Fate fate) { return std::ranges::find(inputs, fate, &Verdict::fate); };
  if (view.done) return {.fate = Fate::done};
  if (!view.known) return skip("its data are missing");
  if (!view.jobs.empty() && (view.owner || input_with(Fate::run) == inputs.end())) {
    return {.fate = Fate::wait, .jobs = view.jobs};
  }
  if (!view.barred.empty()) return skip(view.barred);
  if (!left_out.empty()) return {.fate = Fate::skip, .why = left_out, .failed = view.failure.has_value()};
  if (const auto input = input_with(Fate::skip); input != inputs.end()) {
    const auto number = plan.parts[part].inputs[static_cast<size_t>(input - inputs.begin())];
    return skip(plan.parts[number].label() + " is not done");
  }
  return {.fate = view.owner ? Fate::wait : Fate::run};
}

std::vector<Verdict> verdict(const Plan& plan, const std::vector<PartView>& views, Retry retry) {
  const auto reasons = left_out(plan, views, retry);
  std::vector<Verdict> verdicts;
  for (size_t i = 0; i < plan.parts.size(); ++i) {
    std::vector<Verdict> inputs;
    for (const size_t input : plan.parts[i].inputs) inputs.push_back(verdicts[input]);
    verdicts.push_back(verdict(plan, i, views[i], reasons[i], inputs));
  }
  return verdicts;
}

}  // namespace ivory::experiment
