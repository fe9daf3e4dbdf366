#pragma once
// An experiment as a graph: stages, then one part per task, row and repetition. A part's identity is the hash of its
// resolved configuration, its data's content, its inputs' identities and its plugins' cache_version.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "plan/record.h"

namespace ivory::experiment {

struct Part {
  PartKind kind = PartKind::stage;
  std::string name;  // of the stage or task
  std::string
      from;  // stage the weights come from; "weights": [model] weights; "scratch" or "": fresh, or a first stage
  int64_t repetition = 0;  // tasks only, from 0
  uint64_t seed = 1;
  std::string identity;                   // empty while its data set is missing
  std::vector<size_t> inputs;             // parts that must be done before
  std::vector<std::string> data;          // names of [data.NAME]
  std::vector<std::string> content = {};  // hash of each; empty while it is missing
  const config::StageSpec* stage = nullptr;
  const config::TaskSpec* task = nullptr;
  const config::ModelSpec* model = nullptr;
  bool smoke = false;
  std::vector<const config::TaskSpec*> probes;  // the tasks of stage->probes

  const config::TrainSpec& train() const { return kind == PartKind::stage ? stage->train : task->train; }
  std::string title() const;        // "stage slices", "task head"
  std::string label() const;        // "stage slices", "task head, from scratch, repetition 2 of 3"
  std::string folder_name() const;  // "stage-slices-0123456789ab", of a smoke run "smoke-stage-…"
};

struct Plan {
  std::vector<Part> parts;  // inputs before what needs them
};

// `content`: content hash of each data set's cache; a data set without a finished cache is absent.
// The experiment must outlive the plan.
Plan make_plan(const config::Experiment& experiment, const std::map<std::string, std::string>& content);

// Whether any part has no identity.
bool has_unknown(const Plan& plan);

// Of every part what decides its identity beside the content of its data, as a hash: the same on a machine that does
// not see them.
std::vector<std::string> hashed_settings(const Plan& plan, const config::Experiment& experiment);

}  // namespace ivory::experiment
