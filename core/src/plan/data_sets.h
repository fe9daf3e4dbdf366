#pragma once
// The slice caches of an experiment.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "data/loader.h"
#include "plan/plan.h"
#include "train/trainer.h"

namespace ivory::experiment {

// The data sets of an experiment whose caches exist.
struct OpenData {
  std::map<std::string, std::shared_ptr<const data::SliceCache>> caches;  // by name of [data.NAME]
  std::map<std::string, std::string> content;                             // content hash, likewise
  std::map<std::string, std::string> missing;                             // name → one sentence
};

// Opens the caches; with `build`, missing ones are built first.
OpenData open_data(const config::Experiment& experiment, bool build);

// A part's data; null if a cache is missing.
std::shared_ptr<const data::DataSet> data_set_of(const Part& part, const OpenData& data);

// The stage's probes whose caches exist; others are skipped.
std::vector<train::OnlineProbe> probes_of(const Part& part, const OpenData& data);

}  // namespace ivory::experiment
