#include "plan/part_state.h"

#include <filesystem>

#include "train/checkpoint.h"

namespace ivory::experiment {
namespace {

std::string where_it_continues(const Part& part, const std::filesystem::path& checkpoints) {
  const auto saved = train::saved_at(checkpoints);
  if (!saved) return "nothing was saved: it begins anew";
  const config::TrainSpec& train = part.train();
  const std::string whole =
      train.steps > 0 ? " of " + std::to_string(train.steps)
                      : ", after " + std::to_string(saved->epoch) + " of " + std::to_string(train.epochs) + " epochs";
  return "saved at step " + std::to_string(saved->step) + whole + ": it goes on from there";
}

}  // namespace

PartView view_of(const Part& part, const Store& store) {
  PartView view{.known = !part.identity.empty()};
  if (!view.known) return view;
  view.done = store.done(part);
  if (view.done) return view;
  const auto folder = store.folder(part);
  view.begun = std::filesystem::exists(folder / "checkpoints");
  if (const auto failure = store.failure(part)) view.failure = failure->reason;
  if (const auto stop = store.early_stop(part)) view.early_stop = stop->reason;
  if (base::in_use(folder)) view.owner = base::FolderLock::owner(folder);
  return view;
}

std::vector<PartView> view_of(const Plan& plan, const Store& store) {
  std::vector<PartView> views;
  for (const auto& part : plan.parts) views.push_back(view_of(part, store));
  return views;
}

PartState state_of(const PartView& view) {
  if (!view.known) return PartState::without_data;
  if (view.done) return PartState::done;
  if (view.owner) return PartState::running;
  if (view.failure) return PartState::failed;
  if (view.early_stop) return PartState::stopped_early;
  return view.begun ? PartState::interrupted : PartState::missing;
}

PartStatus status_of(const Part& part, const Store& store, const std::map<std::string, std::string>& failures) {
  PartView view = view_of(part, store);
  if (const auto known = failures.find(part.label()); known != failures.end()) view.failure = known->second;
  const PartState state = state_of(view);
  if (state == PartState::failed) return {state, *view.failure};
  if (state == PartState::stopped_early) return {state, *view.early_stop};
  if (state == PartState::interrupted) return {state, where_it_continues(part, store.folder(part) / "checkpoints")};
  return {state};
}

std::map<std::string, std::string> failures_of(const Plan& plan, const Store& store) {
  std::map<std::string, std::string> failures;
  for (const Part& part : plan.parts) {
    auto status = status_of(part, store);
    if (status.state == PartState::failed) failures[part.label()] = std::move(status.reason);
  }
  return failures;
}

std::string to_text(PartState state) {
  switch (state) {
    case PartState::done:
      return "done";
    case PartState::running:
      return "running";
    case PartState::failed:
      return "failed";
    case PartState::stopped_early:
      return "stopped early";
    case PartState::interrupted:
      return "interrupted";
    case PartState::missing:
      return "to do";
    case PartState::without_data:
      return "without data";
  }
  return "";
}

std::string progress_text(const std::map<PartState, size_t>& counts) {
  size_t all = 0, done = 0;
  std::string others;
  for (const auto& [state, count] : counts) {
    all += count;
    if (state == PartState::done) {
      done = count;
    } else if (count > 0) {
      others += ", " + std::to_string(count) + " " + to_text(state);
    }
  }
  return std::to_string(done) + " of " + std::to_string(all) + (all == 1 ? " part done" : " parts done") + others;
}

}  // namespace ivory::experiment
