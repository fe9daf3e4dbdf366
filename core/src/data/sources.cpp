#include "data/sources.h"

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/json_text.h"

namespace ivory::data {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

// No volume's shard or record is called so: their names do not begin with a dot.
constexpr const char* file_name = ".sources.json";

bool same(const SourceFile& a, const SourceFile& b) {
  return a.bytes == b.bytes && a.modified == b.modified;
}

}  // namespace

SourceFile look_at(const std::string& volume, const fs::path& path) {
  std::error_code ignored;
  SourceFile file{.volume = volume, .path = path.string()};
  if (fs::is_regular_file(path, ignored)) file.bytes = static_cast<int64_t>(fs::file_size(path, ignored));
  const auto modified = fs::last_write_time(path, ignored);
  if (!ignored) file.modified = modified.time_since_epoch().count();
  return file;
}

bool has_sources(const fs::path& folder) {
  return fs::exists(folder / file_name);
}

Sources read_sources(const fs::path& folder) {
  if (!has_sources(folder)) return {};
  const json record = base::read_json_file(folder / file_name).value_or(json());
  Sources sources;
  try {
    for (const auto& one : record.at("files")) {
      sources.files.push_back({one.at("volume"), one.at("path"), one.at("bytes"), one.at("modified")});
    }
    for (const auto& one : record.at("skipped")) sources.skipped.push_back({one.at("file"), one.at("reason")});
  } catch (const json::exception&) {
    return {};  // damaged: as if nothing had been kept
  }
  return sources;
}

void write_sources(const fs::path& folder, const Sources& sources) {
  json files = json::array(), skipped = json::array();
  for (const auto& one : sources.files) {
    files.push_back({{"volume", one.volume}, {"path", one.path}, {"bytes", one.bytes}, {"modified", one.modified}});
  }
  for (const auto& one : sources.skipped) skipped.push_back({{"file", one.file}, {"reason", one.reason}});
  base::write_durable(folder / file_name, base::dump({{"files", files}, {"skipped", skipped}}, 1) + "\n");
}

std::vector<SourceFile> changed(const Sources& sources) {
  std::vector<SourceFile> found;
  for (const auto& file : sources.files) {
    if (fs::exists(file.path) && !same(file, look_at(file.volume, file.path))) found.push_back(file);
  }
  return found;
}

}  // namespace ivory::data
