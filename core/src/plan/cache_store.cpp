#include "plan/cache_store.h"

#include <fmt/format.h>
#include <ivory/error.h>
#include <pwd.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/json_text.h"
#include "base/lock.h"
#include "base/text.h"
#include "data/manifest.h"
#include "data/sources.h"
#include "ingest/ingest.h"
#include "plan/identity.h"
#include "plugin/library.h"
#include "train/progress.h"
#include "train/stop.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

fs::path cache_root() {
  const auto set = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  if (!set("IVORY_CACHE").empty()) return set("IVORY_CACHE");
  if (!set("XDG_CACHE_HOME").empty()) return fs::path(set("XDG_CACHE_HOME")) / "ivory" / "caches";
  const passwd* user = set("HOME").empty() ? ::getpwuid(::getuid()) : nullptr;
  const std::string home = user && user->pw_dir ? user->pw_dir : set("HOME");
  IVORY_CHECK(!home.empty(), "no folder for caches: set the environment variable IVORY_CACHE, XDG_CACHE_HOME or HOME");
  return fs::path(home) / ".cache" / "ivory" / "caches";
}

// One line that is overwritten on a terminal; a log line every ten seconds otherwise.
class ProgressLine {
 public:
  explicit ProgressLine(std::string name) : name_(std::move(name)), terminal_(isatty(STDERR_FILENO) != 0) {}
  ~ProgressLine() {
    if (terminal_ && shown_) std::fputs("\r\033[K", stderr);
  }
  void show(const ingest::Progress& progress) {
    const auto now = Clock::now();
    const bool last = progress.done == progress.total;
    if (shown_ && !last && now - shown_at_ < (terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(10)))
      return;
    shown_ = true;
    shown_at_ = now;
    const std::string line = fmt::format("cache {}: {} of {} volumes{}", name_, progress.done, progress.total,
                                         pace_text(progress, std::chrono::duration<double>(now - began_).count()));
    if (!terminal_) return spdlog::info("{}", line);
    std::fprintf(stderr, "\r\033[K%s  %s", line.c_str(), progress.current.c_str());
  }

 private:
  std::string name_;
  bool terminal_, shown_ = false;
  Clock::time_point began_ = Clock::now(), shown_at_;
};

void tell(const ingest::Report& report, const std::string& name) {
  for (const auto& warning : report.warnings) spdlog::warn("cache {}: {}", name, warning);
  for (const auto& skipped : report.skipped)
    spdlog::warn("cache {}: {} skipped: {}", name, skipped.file, skipped.reason);
}

bool is_of(const config::DataSpec& spec, const fs::path& folder) {
  return data::read_manifest(folder).identity == base::dump(config::identity(spec));
}

void check_identity(const config::DataSpec& spec, const fs::path& folder) {
  IVORY_CHECK(is_of(spec, folder), "the cache ", folder.string(), " was built from other data or settings than [data.",
              spec.name, "] says now; build it again (ivory cache build EXPERIMENT.toml) or name another folder");
}

void tell_of(const data::Sources& sources, const std::vector<data::SourceFile>& changed, const std::string& name) {
  constexpr const char* advice = "; 'ivory cache build EXPERIMENT.toml' reads it again";
  for (const auto& skipped : sources.skipped) {
    spdlog::warn("cache {} is without {}: {}{}", name, skipped.file, skipped.reason, advice);
  }
  for (const auto& file : changed) {
    const char* what = fs::exists(file.path) ? "changed after it was read" : "is gone";
    spdlog::warn("cache {}: {} {}{}", name, file.path, what, advice);
  }
}

// Only what is a cache.
void discard(const fs::path& folder) {
  if (fs::exists(folder / "manifest.json")) fs::remove_all(folder);
}

// False while another process builds it.
bool try_to_build(const config::DataSpec& spec, const fs::path& folder, int64_t workers, ingest::Report& report) {
  auto* build = plugin::load_symbol<decltype(ivory_ingest_build)>("libivory_ingest.so", "ivory_ingest_build");
  ProgressLine line(spec.name);
  try {
    build(
        spec, folder, /*strict=*/false, [&](const ingest::Progress& progress) { line.show(progress); },
        train::stop_requested(), workers, report);
  } catch (const base::InUse&) {
    return false;
  }
  return true;
}

}  // namespace

fs::path cache_folder(const config::DataSpec& spec) {
  if (!spec.cache.empty()) return spec.cache;
  return cache_root() / (spec.name + "-" + hash_of(config::identity(spec)).substr(0, 12));
}

BuiltCache ensure_cache(const config::DataSpec& spec, Refresh refresh, int64_t workers) {
  const fs::path folder = cache_folder(spec);
  if (refresh == Refresh::all) discard(folder);
  if (fs::exists(folder / "manifest.json")) {
    const auto sources = data::read_sources(folder);
    const auto changed = data::changed(sources);
    if (refresh == Refresh::nothing) {
      check_identity(spec, folder);
      tell_of(sources, changed, spec.name);
    }
    // Where all that it was built of is gone, the cache is what is left.
    const bool kept = !sources.files.empty() && data::all_gone(sources) && is_of(spec, folder);
    if (refresh == Refresh::nothing || kept) {
      return {.folder = folder, .skipped = static_cast<int64_t>(sources.skipped.size())};
    }
  }
  ingest::Report report;
  for (bool told = false; !try_to_build(spec, folder, workers, report); told = true) {
    if (!told) spdlog::info("cache {}: waits for the process that builds it", spec.name);
    if (train::stop_requested())
      throw train::Interrupted("interrupted while another process builds cache " + spec.name);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    if (fs::exists(folder / "manifest.json")) return ensure_cache(spec, Refresh::nothing, workers);
  }
  tell(report, spec.name);
  if (!report.finished)
    throw train::Interrupted("cache " + spec.name + " is not finished; the next run goes on with it");
  return {.folder = folder, .skipped = static_cast<int64_t>(report.skipped.size())};
}

std::string pace_text(const ingest::Progress& progress, double seconds) {
  const auto read = static_cast<double>(progress.done - progress.reused);
  if (read <= 0 || seconds <= 0) return "";
  std::string text = fmt::format(", {:.2f}/s", read / seconds);
  if (progress.bytes > 0) text += fmt::format(", {:.1f} MB/s", static_cast<double>(progress.bytes) / seconds / 1e6);
  if (progress.done == progress.total) return text;
  return text + ", " + base::duration_text(static_cast<double>(progress.total - progress.done) * seconds / read) +
         " left";
}

std::vector<config::VolumeSource> list_sources(const config::DataSpec& spec) {
  auto* list = plugin::load_symbol<decltype(ivory_ingest_list)>("libivory_ingest.so", "ivory_ingest_list");
  std::vector<config::VolumeSource> volumes;
  std::vector<std::string> warnings;
  list(spec, volumes, warnings);
  return volumes;
}

}  // namespace ivory::experiment
