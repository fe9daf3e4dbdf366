// ivory cache: builds the caches that an experiment declares, shows them and what a stage sees of them, verifies one.
#include <ivory/error.h>

#include <algorithm>
#include <charconv>
#include <iostream>
#include <set>

#include "cache_info.h"
#include "cache_preview.h"
#include "commands.h"
#include "config/experiment.h"
#include "data/slice_cache.h"
#include "data/sources.h"
#include "plan/cache_store.h"
#include "plugin/registry.h"
#include "run/log.h"
#include "train/stop.h"

namespace ivory::tools {
namespace {

constexpr const char* usage =
    "usage: ivory cache build EXPERIMENT.toml [--rebuild] [--workers N] [KEY=VALUE …]\n"
    "           build the caches that the experiment declares; in those that are there, read again what was skipped\n"
    "           and what changed since, or everything with --rebuild. --workers: volumes at a time (default: one a\n"
    "           core, with 2 GiB of memory each, 16 at most); their number changes no byte of the caches\n"
    "       ivory cache verify FOLDER [--sources]\n"
    "           read everything again and compare hashes; with --sources also the files that it was built of\n";

// Takes "--workers N" out of the arguments; 0 where it is not among them.
int64_t take_workers(std::vector<std::string>& arguments) {
  const auto option = std::ranges::find(arguments, "--workers");
  if (option == arguments.end()) return 0;
  const std::string text = option + 1 == arguments.end() ? "" : *(option + 1);
  int64_t workers = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), workers);
  IVORY_CHECK(error == std::errc() && end == text.data() + text.size() && workers >= 1 && workers <= 1024,
              "ivory cache build: --workers '", text, "', expected a number from 1 to 1024");
  arguments.erase(option, option + 2);
  return workers;
}

int build(const std::vector<std::string>& arguments) {
  experiment::open_console_log();
  train::install_signal_handlers();
  plugin::Registry registry;
  registry.discover();
  auto overrides = arguments;
  const bool rebuild = std::erase(overrides, "--rebuild") > 0;
  const int64_t workers = take_workers(overrides);
  std::erase(overrides, "--set");  // as run-experiment has it
  IVORY_CHECK(!overrides.empty(), "ivory cache build: no experiment file\n", usage);
  const std::string file = overrides.front();
  overrides.erase(overrides.begin());
  const auto refresh = rebuild ? experiment::Refresh::all : experiment::Refresh::sources;
  ExitCode code = ExitCode::done;
  std::set<std::filesystem::path> seen;  // the points of a sweep share their data
  for (const auto& one : config::load_experiments(file, overrides, registry)) {
    for (const auto& data : one.data) {
      if (!seen.insert(experiment::cache_folder(data)).second) continue;
      const auto built = experiment::ensure_cache(data, refresh, workers);
      std::cout << data.name << ": " << built.folder.string() << "\n";
      if (built.skipped == 0) continue;
      const auto kept = static_cast<int64_t>(data::SliceCache(built.folder).volumes().size());
      std::cerr << data.name << ": " << built.skipped << " of " << kept + built.skipped
                << " volumes were skipped: the warnings above name them\n";
      code = ExitCode::missing_data;
    }
  }
  return static_cast<int>(code);
}

int verify(std::vector<std::string> arguments) {
  const bool of_sources = std::erase(arguments, "--sources") > 0;
  IVORY_CHECK(arguments.size() == 1,
              "ivory cache verify: expected the folder of a cache and nothing else but --sources");
  const data::SliceCache cache(arguments[0]);
  auto faults = cache.verify();
  if (of_sources) {
    IVORY_CHECK(data::has_sources(arguments[0]), arguments[0], ": what it was built of was not kept");
    std::ranges::move(data::verify_sources(data::read_sources(arguments[0]), cache.volumes()),
                      std::back_inserter(faults));
  }
  for (const auto& fault : faults) std::cout << fault << "\n";
  std::cout << cache.volumes().size() << " volumes read, " << faults.size() << " faults\n";
  return static_cast<int>(faults.empty() ? ExitCode::done : ExitCode::run_failed);
}

}  // namespace

int run_cache(const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h") {
    std::cout << usage << cache_info_usage << cache_preview_usage;
    return static_cast<int>(arguments.empty() ? ExitCode::bad_request : ExitCode::done);
  }
  const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  IVORY_CHECK(!rest.empty(), "ivory cache ", arguments[0], ": an argument is missing\n", usage, cache_info_usage,
              cache_preview_usage);
  if (arguments[0] == "build") return build(rest);
  if (arguments[0] == "info") return cache_info(rest);
  if (arguments[0] == "preview") return cache_preview(rest);
  if (arguments[0] == "verify") return verify(rest);
  throw bad_request("ivory cache: unknown command '", arguments[0], "'\n", usage, cache_info_usage,
                    cache_preview_usage);
}

}  // namespace ivory::tools
