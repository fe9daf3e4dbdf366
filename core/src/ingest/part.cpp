#include "ingest/part.h"

#include <fmt/format.h>
#include <ivory/error.h>

#include <algorithm>
#include <map>
#include <set>

#include "data/deal.h"

namespace ivory::ingest {
namespace {

std::set<std::string> patients_of(const Sources& sources) {
  std::set<std::string> all, labelled;
  for (const auto& source : sources) {
    all.insert(source.patient);
    if (!source.label.empty()) labelled.insert(source.patient);
  }
  return labelled.empty() ? all : labelled;
}

Sources of_patients(const std::set<std::string>& wanted, Sources sources) {
  std::erase_if(sources, [&](const auto& source) { return !wanted.contains(source.patient); });
  return sources;
}

// The first volumes of a permutation of the patients, each one's by name.
Sources so_many(const config::DataSpec& spec, Sources sources, std::vector<std::string>& warnings) {
  const auto found = static_cast<int64_t>(sources.size());
  if (found < spec.only.volumes && spec.layout != "phantom") {
    warnings.push_back(
        fmt::format("data set '{}': 'only' asks for {} volumes, {} were found", spec.name, spec.only.volumes, found));
  }
  if (found <= spec.only.volumes) return sources;
  std::map<std::string, size_t> place;
  std::set<std::string> patients;
  for (const auto& source : sources) patients.insert(source.patient);
  for (const auto& patient : data::permuted(patients, spec.only.seed)) place.emplace(patient, place.size());
  std::ranges::stable_sort(sources, {}, [&](const auto& source) { return place.at(source.patient); });
  sources.resize(static_cast<size_t>(spec.only.volumes));
  std::ranges::stable_sort(sources, {}, &config::VolumeSource::name);
  return sources;
}

const std::vector<std::string>& list_of(const config::SplitSpec& splits, const std::string& part) {
  return part == "train" ? splits.train : part == "validation" ? splits.validation : splits.test;
}

bool names(const std::string& entry, const std::string& volume) {
  return entry == volume || (entry.ends_with('*') && volume.starts_with(entry.substr(0, entry.size() - 1)));
}

Sources listed(const config::DataSpec& spec, Sources sources, std::vector<std::string>& warnings) {
  std::set<std::string> wanted;
  for (const auto& part : spec.only.parts) {
    for (const auto& entry : list_of(spec.only.splits, part)) {
      bool found = false;
      for (const auto& source : sources) {
        if (!names(entry, source.name)) continue;
        wanted.insert(source.name);
        found = true;
      }
      if (!found) {
        warnings.push_back(
            fmt::format("data set '{}': no volume is '{}', which '{}' of its 'only' lists", spec.name, entry, part));
      }
    }
  }
  std::erase_if(sources, [&](const auto& source) { return !wanted.contains(source.name); });
  return sources;
}

Sources shared_out(const config::DataSpec& spec, Sources sources) {
  const auto& splits = spec.only.splits;
  const auto dealt = data::deal(patients_of(sources), splits.train_share, splits.validation_share, splits.seed);
  std::set<std::string> wanted;
  for (const auto& part : spec.only.parts) {
    const auto& patients = dealt[part == "train" ? 0 : part == "validation" ? 1 : 2];
    wanted.insert(patients.begin(), patients.end());
  }
  return of_patients(wanted, std::move(sources));
}

}  // namespace

Sources part_of(const config::DataSpec& spec, Sources sources, std::vector<std::string>& warnings) {
  if (spec.only.whole()) return sources;
  if (spec.only.volumes > 0) return so_many(spec, std::move(sources), warnings);
  const size_t all = sources.size();
  if (spec.only.splits.train.empty()) {
    sources = shared_out(spec, std::move(sources));
  } else if (spec.layout != "phantom" || !spec.volumes.empty()) {  // else names of generated volumes are in no list
    sources = listed(spec, std::move(sources), warnings);
  }
  IVORY_CHECK(!sources.empty(), "data set '", spec.name, "': none of its ", all,
              " volumes is in the part that 'only' takes");
  return sources;
}

}  // namespace ivory::ingest
