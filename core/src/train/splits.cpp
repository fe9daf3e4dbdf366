#include "train/splits.h"

#include <ivory/error.h>
#include <ivory/random.h>

#include <charconv>
#include <set>

#include "data/deal.h"
#include "data/split_check.h"

namespace ivory::train {
namespace {

using data::patient_of;
using data::VolumeInfo;
using Volumes = std::vector<VolumeInfo>;

struct Range {
  int32_t volume;
  int64_t first, last;
  bool whole;
};

std::optional<int32_t> find_volume(const std::string& name, const Volumes& volumes) {
  for (size_t i = 0; i < volumes.size(); ++i) {
    if (volumes[i].name == name) return static_cast<int32_t>(i);
  }
  return std::nullopt;
}

bool parse_number(std::string_view text, int64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// Whole volumes whose names begin so.
std::vector<Range> begin_with(const std::string& prefix, const Volumes& volumes, const std::string& split) {
  std::vector<Range> ranges;
  for (size_t i = 0; i < volumes.size(); ++i) {
    if (volumes[i].name.starts_with(prefix))
      ranges.push_back({static_cast<int32_t>(i), 0, volumes[i].slices - 1, true});
  }
  IVORY_CHECK(!ranges.empty(), "split '", split, "': no volume's name begins with '", prefix, "'");
  return ranges;
}

// "name", "name:first-last" or "beginning*".
std::vector<Range> parse_entry(const std::string& entry, const Volumes& volumes, const std::string& split) {
  if (const auto volume = find_volume(entry, volumes)) return {{*volume, 0, volumes[*volume].slices - 1, true}};
  if (entry.ends_with('*')) return begin_with(entry.substr(0, entry.size() - 1), volumes, split);
  const size_t colon = entry.rfind(':'), dash = entry.rfind('-');
  Range range{-1, 0, 0, false};
  const bool ranged = colon != std::string::npos && dash != std::string::npos && dash > colon &&
                      parse_number(std::string_view(entry).substr(colon + 1, dash - colon - 1), range.first) &&
                      parse_number(std::string_view(entry).substr(dash + 1), range.last);
  const std::string name = ranged ? entry.substr(0, colon) : entry;
  const auto volume = find_volume(name, volumes);
  if (!volume) {
    std::vector<std::string> names;
    for (const VolumeInfo& info : volumes) names.push_back(info.name);
    const std::string close = nearest(name, names);
    throw bad_request("split '", split, "': there is no volume '", name, "' in the data",
                      close.empty() ? "" : c10::str(", did you mean '", close, "'"));
  }
  range.volume = *volume;
  const int64_t slices = volumes[*volume].slices;
  IVORY_CHECK(range.first <= range.last && range.last < slices, "split '", split, "': '", entry,
              "' is not within the volume's slices 0 to ", slices - 1);
  return {range};
}

Split parse_list(const std::vector<std::string>& entries, const Volumes& volumes, SampleKind unit,
                 const std::string& name) {
  Split split;
  for (const std::string& entry : entries) {
    for (const Range& range : parse_entry(entry, volumes, name)) {
      IVORY_CHECK(data::is_labelled(volumes[range.volume]), "split '", name, "': volume '", volumes[range.volume].name,
                  "' has no labels");
      IVORY_CHECK(unit == SampleKind::slice || range.whole, "split '", name, "': '", entry,
                  "' is a range of slices, but this task takes whole volumes");
      split.volumes.push_back(range.volume);
      for (int64_t slice = range.first; slice <= range.last; ++slice) {
        split.slices.push_back({range.volume, static_cast<int32_t>(slice)});
      }
    }
  }
  return split;
}

struct NamedSplit {
  const char* name;
  Split* split;
};

void check_disjoint(const std::array<NamedSplit, 3>& splits, const Volumes& volumes) {
  std::map<std::array<int32_t, 2>, const char*> owner;
  for (const auto& [name, split] : splits) {
    for (const auto& slice : split->slices) {
      const auto [found, fresh] = owner.emplace(slice, name);
      IVORY_CHECK(fresh, "slice ", slice[1], " of volume '", volumes[slice[0]].name, "' is in split '", found->second,
                  "' and again in split '", name, "'");
    }
  }
}

// Warnings. Throws when a patient is in two splits and may not be.
std::vector<std::string> check_leaks(const config::SplitSpec& spec, const std::array<NamedSplit, 3>& splits,
                                     const Volumes& volumes) {
  std::vector<data::NamedSplit> members;
  for (const auto& [name, split] : splits) members.push_back({name, split->volumes});
  const auto patients = shared_patients(volumes, members);
  constexpr const char* reason = ": scores say little about other patients";
  IVORY_CHECK(patients.empty() || spec.allow_shared_patients, shared_patient_text(patients.front()),
              patients.size() > 1 ? c10::str(", as are ", patients.size() - 1, " others") : "", reason,
              "; to allow it, set allow_shared_patients = true in 'splits'");
  std::vector<std::string> content, warnings;
  for (const VolumeInfo& info : volumes) content.push_back(info.content_hash);
  for (const auto& shared : patients) warnings.push_back(shared_patient_text(shared) + reason);
  for (const auto& shared : shared_content(volumes, content, members)) warnings.push_back(shared_content_text(shared));
  return warnings;
}

std::array<std::vector<std::string>, 3> deal_patients(const config::SplitSpec& spec, const Volumes& volumes,
                                                      uint64_t trial_seed) {
  std::set<std::string> patients;
  for (const VolumeInfo& info : volumes) {
    if (data::is_labelled(info)) patients.insert(patient_of(info));
  }
  return data::deal(patients, spec.train_share, spec.validation_share,
                    spec.redraw ? mix(spec.seed, trial_seed) : spec.seed);
}

Split volumes_of(const std::vector<std::string>& patients, const Volumes& volumes) {
  const std::set<std::string> wanted(patients.begin(), patients.end());
  Split split;
  for (size_t v = 0; v < volumes.size(); ++v) {
    if (!data::is_labelled(volumes[v]) || !wanted.count(patient_of(volumes[v]))) continue;
    split.volumes.push_back(static_cast<int32_t>(v));
    for (int64_t slice = 0; slice < volumes[v].slices; ++slice) {
      split.slices.push_back({static_cast<int32_t>(v), static_cast<int32_t>(slice)});
    }
  }
  return split;
}

}  // namespace

Splits make_splits(const config::SplitSpec& spec, const Volumes& volumes, SampleKind unit, uint64_t trial_seed) {
  Splits splits;
  const std::array<NamedSplit, 3> named = {
      {{"train", &splits.train}, {"validation", &splits.validation}, {"test", &splits.test}}};
  if (spec.train.empty() && spec.validation.empty() && spec.test.empty()) {
    const auto patients = deal_patients(spec, volumes, trial_seed);
    for (size_t i = 0; i < named.size(); ++i) *named[i].split = volumes_of(patients[i], volumes);
  } else {
    splits.train = parse_list(spec.train, volumes, unit, "train");
    splits.validation = parse_list(spec.validation, volumes, unit, "validation");
    splits.test = parse_list(spec.test, volumes, unit, "test");
    check_disjoint(named, volumes);
    splits.warnings = check_leaks(spec, named, volumes);
  }
  IVORY_CHECK(!splits.train.slices.empty(), "split 'train' is empty");
  IVORY_CHECK(!splits.test.slices.empty(), "split 'test' is empty");
  return splits;
}

}  // namespace ivory::train
