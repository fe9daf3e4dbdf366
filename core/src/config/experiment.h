#pragma once
// An experiment as typed values: what the TOML says after `extends`, `${ENV}`, `--set` and defaults.

#include <ivory/error.h>

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config/data_spec.h"
#include "config/model_spec.h"
#include "config/stage_spec.h"
#include "config/table_spec.h"
#include "config/task_spec.h"

namespace ivory::plugin {
class Catalogue;
}

namespace ivory::config {

// Successive halving of a sweep: each time so many epochs of one stage or task are over, the better part of the points
// goes on, and the others are stopped.
struct HalvingSpec {
  std::string stage = {}, task = {};  // what is compared: one of them
  // Of a stage: the mean of a loss term or diagnostic over the epoch, or "probes/TASK/SCORE". Of a task: a score on its
  // validation split.
  std::string metric = {};
  bool greater_is_better = false;
  std::vector<int64_t> rungs = {};  // epochs, ascending
  double keep = 0.5;                // share of the points that goes on, at least one
};

struct Experiment {
  std::string name;
  std::string note;  // printed under every table ("shows that the pipeline works, not …")
  uint64_t seed = 1;
  int64_t repetitions = 1;      // downstream repetitions with different seeds
  std::string device = "auto";  // "auto", "cpu", "cuda"
  int64_t threads = 0;          // 0: all cores
  std::string output = "runs";
  bool smoke = false;  // at a tiny size on generated volumes: no result says anything about a method
  std::vector<std::string> plugins;
  std::vector<DataSpec> data;
  ModelSpec model;                // [model]; without it, the only [model.NAME]; else without a composition
  std::vector<ModelSpec> models;  // [model.NAME]
  std::vector<StageSpec> stages;
  std::vector<TaskSpec> tasks;
  TableSpec table;
  // Of a sweep: "stage.joint.epochs=3, …" of this point; empty without one.
  std::string sweep_point;
  std::optional<HalvingSpec> halving;  // of a sweep, the same in all its points
  std::filesystem::path file;

  const StageSpec& stage(const std::string& stage_name) const;
  // The model of what begins from there: a stage, "weights", "weights:NAME", "scratch", "scratch:NAME" or "".
  const ModelSpec& model_of(const std::string& from) const;
  const DataSpec& data_set(const std::string& data_name) const;
};

// Reads, merges and validates; one experiment per point of the sweep. Throws ConfigError with every mistake, by line.
// `plugins = […]` are loaded into the catalogue before options are checked. With `smoke`: on generated volumes, with
// what [smoke] sets (below the overrides).
std::vector<Experiment> load_experiments(const std::filesystem::path& file, const std::vector<std::string>& overrides,
                                         plugin::Catalogue& catalogue, bool smoke = false);
// The same from a text, for tests.
std::vector<Experiment> parse_experiments(const std::string& text, const std::string& file_name,
                                          const std::vector<std::string>& overrides, plugin::Catalogue& catalogue,
                                          bool smoke = false);

// The resolved experiment: complete, readable by itself, loads to the same values.
std::string to_toml(const Experiment& experiment);

// Whether a task, or a row of the table, begins with the weights file of a model, or with fresh weights.
bool from_weights(const std::string& from);  // "weights", "weights:NAME"
bool from_scratch(const std::string& from);  // "scratch", "scratch:NAME"

// Canonical values (sorted keys, no locations, no machine settings such as workers) that make up identities.
nlohmann::json identity(const DataSpec& spec);
nlohmann::json identity(const ModelSpec& spec);
nlohmann::json identity(const StageSpec& spec);  // without `from` and `data`: the plan adds their identities
nlohmann::json identity(const TaskSpec& spec);   // likewise

// Every mistake of a file: "file:line:column: message" lines, sorted by line.
class ConfigError : public Error {
 public:
  explicit ConfigError(std::vector<std::string> messages);
  const std::vector<std::string>& messages() const { return messages_; }

 private:
  std::vector<std::string> messages_;
};

}  // namespace ivory::config
