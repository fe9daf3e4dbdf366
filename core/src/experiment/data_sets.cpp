// The slice caches of an experiment.
#include <spdlog/spdlog.h>

#include <set>

#include "experiment/cache_store.h"
#include "experiment/run.h"

namespace ivory::experiment {
namespace {

// Data sets that a stage or task reads.
std::set<std::string> used_data(const config::Experiment& experiment) {
  std::set<std::string> used;
  for (const auto& stage : experiment.stages) used.insert(stage.data.begin(), stage.data.end());
  for (const auto& task : experiment.tasks) used.insert(task.data);
  return used;
}

}  // namespace

OpenData open_data(const config::Experiment& experiment, bool build) {
  OpenData opened;
  for (const auto& name : used_data(experiment)) {
    const auto& spec = experiment.data_set(name);
    try {
      const auto folder = build ? ensure_cache(spec).folder : cache_folder(spec);
      auto cache = std::make_shared<const data::SliceCache>(folder);
      opened.content[name] = cache->content_hash();
      opened.caches[name] = std::move(cache);
    } catch (const Error& error) {
      if (error.code() != ExitCode::missing_data) throw;
      opened.missing[name] = error.what();
      if (build) spdlog::warn("data {}: {}", name, error.what());
    }
  }
  return opened;
}

}  // namespace ivory::experiment
