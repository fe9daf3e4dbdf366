#include "plan/seen_patients.h"

#include <fmt/format.h>
#include <ivory/error.h>
#include <spdlog/spdlog.h>

#include <set>

#include "train/splits.h"

namespace ivory::experiment {
namespace {

// Data sets of the stages that a part begins from, by the name of the first stage that reads each.
std::map<std::string, std::string> learned_from(const Plan& plan, const Part& part) {
  std::map<std::string, std::string> sets;
  for (const size_t input : part.inputs) {
    const Part& stage = plan.parts[input];
    for (const auto& [set, name] : learned_from(plan, stage)) sets.emplace(set, name);
    for (const auto& set : stage.data) sets.emplace(set, stage.name);
  }
  return sets;
}

// Source files of the test split; generated volumes have none. Of splits that cannot be made others tell.
std::set<std::string> test_files(const config::TaskSpec& task, const data::SliceCache& cache) try {
  std::set<std::string> files;
  const auto splits = train::make_splits(task.splits, cache.volumes(), SampleKind::slice, 0);
  for (const int32_t volume : splits.test.volumes)
    files.insert(cache.volumes()[static_cast<size_t>(volume)].source_file);
  files.erase("");
  return files;
} catch (const Error&) {
  return {};
}

}  // namespace

std::string seen_in_pretraining(const Plan& plan, const Part& task, const OpenData& data) {
  const auto tested = data.caches.find(task.task->data);
  if (tested == data.caches.end() || task.task->splits.redraw) return "";
  const auto sets = learned_from(plan, task);
  if (sets.empty()) return "";
  const auto files = test_files(*task.task, *tested->second);
  for (const auto& [set, stage] : sets) {
    const auto learned = data.caches.find(set);
    if (set == task.task->data || learned == data.caches.end()) continue;
    std::set<std::string> seen;
    for (const auto& info : learned->second->volumes()) {
      if (files.contains(info.source_file)) seen.insert(info.source_file);
    }
    if (!seen.empty()) {
      return fmt::format(
          "its test split has {} of {} files that stage {} learns from in data set '{}', such as {}; 'only' of that "
          "data set leaves them out",
          seen.size(), files.size(), stage, set, *seen.begin());
    }
  }
  return "";
}

void warn_of_seen_patients(const Plan& plan, const Plan& asked, const OpenData& data) {
  for (const auto& part : asked.parts) {
    if (part.kind != PartKind::task || part.repetition > 0) continue;
    const std::string sentence = seen_in_pretraining(plan, part, data);
    if (!sentence.empty()) spdlog::warn("{}: {}", part.label(), sentence);
  }
}

}  // namespace ivory::experiment
