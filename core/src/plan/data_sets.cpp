#include "plan/data_sets.h"

#include <spdlog/spdlog.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "base/json_text.h"
#include "plan/cache_store.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
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

std::shared_ptr<const data::SliceCache> open_cache(const config::DataSpec& spec, bool build) {
  return std::make_shared<const data::SliceCache>(build ? ensure_cache(spec).folder : cache_folder(spec));
}

// The points of a sweep have their caches in common: they are looked through once, until their manifests are others.
std::shared_ptr<const data::SliceCache> shared_cache(const config::DataSpec& spec, bool build) {
  using Recipe = std::tuple<std::string, std::string, bool>;
  using State = std::pair<fs::file_time_type, uintmax_t>;
  static std::map<Recipe, std::pair<State, std::shared_ptr<const data::SliceCache>>> known;
  const fs::path manifest = cache_folder(spec) / "manifest.json";
  const auto state = [&]() -> State {
    std::error_code missing;
    return {fs::last_write_time(manifest, missing), fs::file_size(manifest, missing)};
  };
  auto& [then, cache] = known[{manifest.string(), base::dump(config::identity(spec)), build}];
  if (!cache || then != state()) {
    cache.reset();
    cache = open_cache(spec, build);
    then = state();
  }
  return cache;
}

}  // namespace

OpenData open_data(const config::Experiment& experiment, bool build) {
  OpenData opened;
  for (const auto& name : used_data(experiment)) {
    const auto& spec = experiment.data_set(name);
    try {
      auto cache = shared_cache(spec, build);
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

std::shared_ptr<const data::DataSet> data_set_of(const Part& part, const OpenData& data) {
  return joined_data(part.data, data);
}

std::vector<train::OnlineProbe> probes_of(const Part& part, const OpenData& data) {
  std::vector<train::OnlineProbe> probes;
  for (size_t i = 0; i < part.probes.size(); ++i) {
    const config::TaskSpec& task = *part.probes[i];
    auto set = joined_data({task.data}, data);
    if (set) probes.push_back({.task = &task, .every = part.stage->probes[i].every, .data = std::move(set)});
  }
  return probes;
}

}  // namespace ivory::experiment
