#include "data/sources.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/files.h"
#include "base/hash.h"
#include "base/json_text.h"

namespace ivory::data {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

// No volume's shard or record is called so: their names do not begin with a dot.
constexpr const char* file_name = ".sources.json";
// A line of JSON for each image since .sources.json was written.
constexpr const char* journal_name = ".sources.journal";

bool same(const SourceFile& a, const SourceFile& b) {
  return a.bytes == b.bytes && a.modified == b.modified;
}

json to_json(const SourceFile& one) {
  return {{"volume", one.volume}, {"path", one.path},     {"bytes", one.bytes},
          {"image", one.image},   {"hashed", one.hashed}, {"modified", one.modified}};
}

SourceFile source_from(const json& one) {
  return {.volume = one.at("volume"),
          .path = one.at("path"),
          .bytes = one.at("bytes"),
          .modified = one.at("modified"),
          .image = one.value("image", one.at("path").get<std::string>()),
          .hashed = one.value("hashed", false)};
}

// A last line that was cut off by a kill is as if it had not been begun.
void take_journal(const fs::path& folder, Sources& sources) {
  std::ifstream in(folder / journal_name);
  std::map<std::string, std::vector<SourceFile>> read;  // by image: the last line counts
  for (std::string line; std::getline(in, line);) {
    const auto files = base::json_or_nothing(line);
    if (!files || !files->is_array() || files->empty()) continue;
    try {
      std::vector<SourceFile> of_image;
      for (const auto& one : *files) of_image.push_back(source_from(one));
      read[of_image.front().image] = std::move(of_image);
    } catch (const json::exception&) {
    }
  }
  std::erase_if(sources.files, [&](const auto& known) { return !known.volume.empty() && read.contains(known.image); });
  for (auto& [image, files] : read) std::ranges::move(files, std::back_inserter(sources.files));
}

}  // namespace

SourceFile look_at(const std::string& volume, const fs::path& path) {
  std::error_code ignored;
  SourceFile file{.volume = volume, .path = path.string(), .image = path.string()};
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
    for (const auto& one : record.at("files")) sources.files.push_back(source_from(one));
    for (const auto& one : record.at("skipped")) sources.skipped.push_back({one.at("file"), one.at("reason")});
  } catch (const json::exception&) {
    return {};  // damaged: as if nothing had been kept
  }
  take_journal(folder, sources);
  return sources;
}

void write_sources(const fs::path& folder, const Sources& sources) {
  json files = json::array(), skipped = json::array();
  for (const auto& one : sources.files) files.push_back(to_json(one));
  for (const auto& one : sources.skipped) skipped.push_back({{"file", one.file}, {"reason", one.reason}});
  base::write_durable(folder / file_name, base::dump({{"files", files}, {"skipped", skipped}}, 1) + "\n");
  std::error_code ignored;
  fs::remove(folder / journal_name, ignored);
}

void add_sources(const fs::path& folder, const std::vector<SourceFile>& files) {
  json line = json::array();
  for (const auto& one : files) line.push_back(to_json(one));
  std::ofstream(folder / journal_name, std::ios::app) << base::dump(line) + "\n";
}

std::string hash_of_files(const std::vector<fs::path>& files) {
  base::Hasher hasher;
  std::vector<char> buffer(1 << 20);
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
      hasher.add({reinterpret_cast<const uint8_t*>(buffer.data()), static_cast<size_t>(in.gcount())});
    }
  }
  return hasher.hexadecimal();
}

std::vector<std::string> verify_sources(const Sources& sources, const std::vector<VolumeInfo>& volumes) {
  std::vector<std::string> faults;
  std::map<std::string, std::vector<fs::path>> hashed;  // by image
  std::set<std::string> known_faults;
  for (const auto& file : sources.files) {
    if (file.hashed) hashed[file.image].emplace_back(file.path);
    const bool is_gone = !fs::exists(file.path);
    if (!is_gone && (fs::is_directory(file.path) || look_at(file.volume, file.path).bytes == file.bytes)) continue;
    faults.push_back(file.path + (is_gone ? ": is gone" : ": has another size than when it was read"));
    known_faults.insert(file.image);
  }
  for (const auto& volume : volumes) {
    const auto files = hashed.find(volume.source_file);
    if (files == hashed.end() || known_faults.contains(volume.source_file)) continue;
    if (hash_of_files(files->second) == volume.source_hash) continue;
    faults.push_back(volume.source_file + ": is not as it was read for volume " + volume.name);
    known_faults.insert(volume.source_file);
  }
  return faults;
}

std::vector<SourceFile> changed(const Sources& sources) {
  std::vector<SourceFile> found;
  if (all_gone(sources)) return found;
  for (const auto& file : sources.files) {
    if (!fs::exists(file.path) || !same(file, look_at(file.volume, file.path))) found.push_back(file);
  }
  return found;
}

bool all_gone(const Sources& sources) {
  return std::ranges::none_of(sources.files, [](const auto& file) {
    std::error_code ignored;
    return fs::exists(file.path, ignored);
  });
}

}  // namespace ivory::data
