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

std::shared_ptr<const data::DataSet> joined_data(const std::vector<std::string>& names, const OpenData& data) {
  std::vector<std::shared_ptr<const data::SliceCache>> caches;
  for (const auto& name : names) {
    const auto found = data.caches.find(name);
    if (found == data.caches.end()) return nullptr;
    caches.push_back(found->second);
  }
  return std::make_shared<const data::DataSet>(std::move(caches));
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

std::shared_ptr<const data::DataSet> data_set_of(const Node& node, const OpenData& data) {
  return joined_data(node.data, data);
}

std::vector<train::OnlineProbe> probes_of(const Node& node, const OpenData& data) {
  std::vector<train::OnlineProbe> probes;
  for (size_t i = 0; i < node.probes.size(); ++i) {
    const config::TaskSpec& task = *node.probes[i];
    auto set = joined_data({task.data}, data);
    if (set) probes.push_back({.task = &task, .every = node.stage->probes[i].every, .data = std::move(set)});
  }
  return probes;
}

}  // namespace ivory::experiment
