#include "data/split_check.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "base/text.h"

namespace ivory::data {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 3> split_names = {"train", "validation", "test"};
constexpr std::array<std::pair<const char*, int>, 10> split_words = {{{"train", 0},
                                                                      {"training", 0},
                                                                      {"imagestr", 0},
                                                                      {"val", 1},
                                                                      {"valid", 1},
                                                                      {"validation", 1},
                                                                      {"imagesval", 1},
                                                                      {"test", 2},
                                                                      {"testing", 2},
                                                                      {"imagests", 2}}};

// Split of a folder's name, from 0; -1 when no word of it names one.
int split_of(const std::string& folder) {
  std::string word;
  for (const char c : folder + "/") {
    if (std::isalpha(static_cast<unsigned char>(c))) {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      continue;
    }
    for (const auto& [name, split] : split_words) {
      if (word == name) return split;
    }
    word.clear();
  }
  return -1;
}

// The first folders of all sources.
fs::path common_folder(const std::vector<VolumeInfo>& volumes) {
  fs::path common = volumes.empty() ? fs::path() : fs::path(volumes.front().source_file).parent_path();
  for (const VolumeInfo& info : volumes) {
    const fs::path folder = fs::path(info.source_file).parent_path();
    fs::path same;
    for (auto a = common.begin(), b = folder.begin(); a != common.end() && b != folder.end() && *a == *b; ++a, ++b)
      same /= *a;
    common = same;
  }
  return common;
}

// "train/ann" of a folder's layout is ann; "train" stays.
std::string without_splits(const std::string& patient) {
  fs::path kept;
  for (const auto& part : fs::path(patient)) {
    if (split_of(part.string()) < 0) kept /= part;
  }
  return kept.empty() ? patient : kept.generic_string();
}

using KeyOf = std::function<std::string(int32_t volume)>;

// Keys that several splits have.
std::vector<Shared> shared_keys(const std::vector<VolumeInfo>& volumes, const std::vector<NamedSplit>& splits,
                                const KeyOf& key_of) {
  std::map<std::string, std::vector<std::pair<std::string, std::vector<std::string>>>> all;
  for (const auto& [split, members] : splits) {
    for (const int32_t volume : std::set<int32_t>(members.begin(), members.end())) {
      const std::string key = key_of(volume);
      if (key.empty()) continue;
      auto& where = all[key];
      if (where.empty() || where.back().first != split) where.emplace_back(split, std::vector<std::string>());
      where.back().second.push_back(volumes[static_cast<size_t>(volume)].name);
    }
  }
  std::vector<Shared> shared;
  for (auto& [key, where] : all) {
    if (where.size() > 1) shared.push_back({key, std::move(where)});
  }
  return shared;
}

}  // namespace

const std::string& patient_of(const VolumeInfo& info) {
  return info.patient.empty() ? info.name : info.patient;
}

std::vector<Shared> shared_patients(const std::vector<VolumeInfo>& volumes, const std::vector<NamedSplit>& splits) {
  return shared_keys(volumes, splits, [&](int32_t volume) { return patient_of(volumes[static_cast<size_t>(volume)]); });
}

std::vector<Shared> shared_folder_patients(const std::vector<VolumeInfo>& volumes,
                                           const std::vector<NamedSplit>& splits) {
  return shared_keys(volumes, splits,
                     [&](int32_t volume) { return without_splits(patient_of(volumes[static_cast<size_t>(volume)])); });
}

std::vector<Shared> shared_content(const std::vector<VolumeInfo>& volumes, const std::vector<std::string>& content,
                                   const std::vector<NamedSplit>& splits) {
  auto shared = shared_keys(volumes, splits, [&](int32_t volume) { return content[static_cast<size_t>(volume)]; });
  std::erase_if(shared, [](const Shared& one) {  // slices of one volume in several splits
    std::set<std::string> names;
    for (const auto& [split, members] : one.where) names.insert(members.begin(), members.end());
    return names.size() < 2;
  });
  return shared;
}

std::string shared_patient_text(const Shared& shared) {
  const std::string list = base::joined(shared.where, ", ", [](const auto& split) { return split.first; });
  return "patient '" + shared.key + "' is in more than one split (" + list + ")";
}

std::string shared_content_text(const Shared& shared) {
  std::string list;
  for (const auto& [split, members] : shared.where) {
    for (const auto& name : members) list += (list.empty() ? "'" : ", '") + name + "' (" + split + ")";
  }
  return "volumes with the same content are in different splits: " + list;
}

std::vector<NamedSplit> folder_splits(const std::vector<VolumeInfo>& volumes) {
  const fs::path common = common_folder(volumes);
  std::vector<NamedSplit> splits;
  for (const char* name : split_names) splits.push_back({name, {}});
  for (size_t volume = 0; volume < volumes.size(); ++volume) {
    int found = -1;
    for (const auto& part : fs::path(volumes[volume].source_file).parent_path().lexically_relative(common)) {
      if (const int split = split_of(part.string()); split >= 0) found = split;
    }
    if (found >= 0) splits[static_cast<size_t>(found)].volumes.push_back(static_cast<int32_t>(volume));
  }
  std::erase_if(splits, [](const NamedSplit& split) { return split.volumes.empty(); });
  if (splits.size() < 2) splits.clear();
  return splits;
}

}  // namespace ivory::data
