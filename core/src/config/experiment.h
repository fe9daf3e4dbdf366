#pragma once
// An experiment as typed values: what the TOML says after `extends`, `${ENV}`, `--set` and defaults.

#include <ivory/error.h>
#include <ivory/options.h>
#include <ivory/views.h>

#include <array>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace ivory::plugin {
class Catalogue;
}

namespace ivory::config {

struct Location {
  std::string file;
  int line = 0;
  int column = 0;
};

// A plugin by name with validated options.
struct PluginUse {
  std::string name;
  Options options;
  int cache_version = 1;
  Location where;
};

struct VolumeSource {
  std::string name;                     // unique within the data set
  std::string image;                    // a file, or the folder of a DICOM series
  std::string label;                    // a file of label ids on the same grid, or empty
  std::string modality;                 // "ct", "mr", "xray"
  std::string patient;                  // default: the name
  std::optional<int64_t> channel = {};  // of a 4-D file, from 0
};

// Labelled volumes and images of the embedded generator.
struct PhantomSpec {
  int64_t volumes = 4;
  std::array<int64_t, 3> size = {48, 96, 96};  // slices, rows, columns
  std::vector<int64_t> labels = {1, 2, 3};     // label id of each class
  std::vector<std::string> classes = {};       // structure of each label; empty: phantom_classes() in their order
  uint64_t seed = 1;
  int64_t every = 1;  // labelled structures are in the volumes whose number is a multiple of it alone
};

// One split: volumes by name, each optionally with a slice range "name:first-last" (inclusive, from 0).
struct SplitSpec {
  std::vector<std::string> train, validation, test;
  // When the lists are empty: by patient, these shares in the order of a seeded permutation.
  double train_share = 0.6, validation_share = 0.2;
  uint64_t seed = 0;
  bool redraw = false;                 // shares: every trial has a permutation of its own, the same for every `from`
  bool allow_shared_patients = false;  // lists: a patient in two splits is a warning, no error
};

// A part of a data set: its other volumes are not read. All of it where both `parts` and `volumes` say nothing.
struct PartSpec {
  std::vector<std::string> parts = {};  // "train", "validation", "test" of `splits`, which are written as a task's
  SplitSpec splits = {};
  int64_t volumes = 0;  // so many, patient after patient in the order of a seeded permutation
  uint64_t seed = 0;

  bool whole() const { return parts.empty() && volumes == 0; }
};

// [data.NAME]: one slice cache.
struct DataSpec {
  std::string name;
  std::string layout = "folder";  // "list", "folder", "msd", "nnunet", "phantom"; `[data] source = "phantom"` overrides
  std::string declared = "";      // the layout without that: whose labels have names
  std::string path;               // of folder, msd, nnunet
  std::vector<VolumeSource> volumes;  // of list
  PartSpec only = {};
  std::string patients;                       // a table of patient ids by volume, or empty
  std::string modality = "";                  // default for volumes without one
  std::array<double, 2> window = {0, 0};      // intensities mapped to 0 and 1; {0, 0}: the modality's default
  std::array<double, 3> spacing = {0, 0, 0};  // mm along x, y, z; 0 keeps the file's
  int64_t max_size = 0;                       // pixels in the plane: larger slices are shrunk at ingest; 0 keeps them
  PhantomSpec phantom;
  std::string cache;  // folder; empty: <cache root>/<name>-<identity>
  std::string hint;   // where to get the data, printed when it is missing
  Location where;
};

// A network: a composition (a plugin of kind model) and the backbones in its roles.
struct ModelSpec {
  std::string name;       // of [model.NAME]; empty: of [model], or of a table of differences
  PluginUse composition;  // e.g. "image-volume" with levels, token_width, frames; name "": no model
  std::map<std::string, PluginUse> backbones;  // by role, e.g. "slice_backbone"; a role left out has no entry
  std::string weights;                         // file to initialise from, or empty
  double min_match = 0.95;                     // share of the parameters that must match, in [0, 1]
  Location where;

  // Null where the model has no backbone in the role.
  const PluginUse* backbone(const std::string& role) const;
};

struct OptimiserSpec {
  std::string name = "sgd";  // "sgd", "adamw"
  double lr = 0.3;           // peak; of sgd per 256 images when scale_lr
  bool scale_lr = false;     // lr · batch / 256
  double momentum = 0.9;
  double weight_decay = 1e-6;
  bool larc = false;
  double trust = 0.001;                        // LARC
  std::array<double, 2> betas = {0.9, 0.999};  // adamw
};

struct ScheduleSpec {
  std::string name = "cosine";  // "cosine", "constant"
  double warmup_epochs = 0;     // linear, from start_lr to the peak, per iteration
  double start_lr = 0;
  double final_factor = 0.001;  // cosine ends at peak · final_factor
};

struct ObjectiveUse {
  PluginUse plugin;
  SampleKind on = SampleKind::slice;  // what it learns from: one of the descriptor's kinds
  double weight = 1;
  // Unique within the stage, for logs and metrics: the plugin's name, then "-slices" or "-volumes" where `on` is not
  // the first of its kinds.
  std::string label;
};

// What stages and tasks share about optimisation and the machine.
struct TrainSpec {
  int64_t epochs = 1;
  int64_t steps = 0;  // > 0 overrides epochs: the stage ends after so many optimiser steps
  int64_t batch_size = 32;
  int64_t accumulate = 1;          // micro-batches per optimiser step (batch_size is the sum)
  double clip_norm = 0;            // 0: none
  std::string precision = "fp32";  // "fp32", "bf16" (autocast)
  bool channels_last = true;
  OptimiserSpec optimiser;
  ScheduleSpec schedule;
  int64_t checkpoint_every = 1;  // epochs
  int64_t keep_last = 2;
  int64_t workers = 1;  // loader threads
  int64_t prefetch_mib = 256;
};

// A [[task]] on frozen features, evaluated on its validation split while a stage trains.
struct ProbeUse {
  std::string task;
  int64_t every = 1;  // epochs
};

struct StageSpec {
  std::string name;
  std::string from;               // an earlier stage, or empty for fresh weights
  std::vector<std::string> data;  // names of [data.NAME]
  // How often an epoch draws from each of `data`, relative to the others. Empty: every sample once.
  std::vector<double> data_weights;
  int64_t shuffle_volumes = 0;  // volumes whose slices are mixed at a time, for slow storage; 0: all
  std::vector<ObjectiveUse> objectives;
  SliceViewSpec slice_views;
  VolumeViewSpec volume_views;
  std::string views_on = "cpu";       // "cpu", "device": where views are made; changes no identity
  std::string views_output = "fp32";  // "fp32", "bf16" (with its precision)
  int64_t volume_batch_size = 0;      // when slices and volumes are trained together; 0: batch_size
  std::vector<ProbeUse> probes;       // they change no result, and so no identity
  std::optional<ModelSpec> model;     // where it is not Experiment::model, here or in the stages that it begins from
  TrainSpec train;
  Location where;
};

struct ClassSpec {
  std::string name;
  std::vector<int64_t> labels;  // label ids of the data set that make this class
  // As they are written, while the data set that knows their ids is missing.
  std::vector<std::string> label_names = {};
  std::vector<std::string> written_names = {};  // the same, kept: what is known of it wherever the data set is
};

struct TaskSpec {
  std::string name;
  PluginUse plugin;
  // A row each: stages, "weights" (those of [model]) or "weights:NAME", "scratch" or "scratch:NAME".
  std::vector<std::string> from;
  std::string data;
  std::vector<ClassSpec> classes;
  SplitSpec splits;
  int64_t size = 224;          // pixels in the plane
  int64_t evaluate_every = 1;  // epochs, on validation
  bool augment = true;         // training samples: flip, rotation, scale, tone (docs/deviations.md)
  int64_t trials = 0;          // 0: the experiment's
  TrainSpec train;
  Location where;
};

// A figure of the paper, in the unit of the table: percent, or millions of parameters.
struct ReferenceValue {
  double mean = 0;
  std::optional<double> deviation = {};
};
using ReferenceTable = std::map<std::string, std::map<std::string, ReferenceValue>>;  // row → column → value

struct TableRow {
  std::string label;
  std::string from = {};             // as of a task; empty when it is missing, or of parameters
  std::string group = {};            // heading of the rows that share it
  std::string reference = {};        // its row in the reference file; empty: none
  std::string missing = {};          // why it is not measured: "not implemented yet"
  std::optional<ModelSpec> model{};  // of a table of parameters: where it is not [model]
};
struct TableColumn {
  std::string label;
  std::string task;
  std::string score = {};                // empty: the task's primary one
  std::vector<std::string> others = {};  // further tasks whose trials belong to it
  std::string reference = {};            // its column in the reference file; empty: none
  std::string missing = {};              // as of a row
};
enum class TableKind { scores, parameters };
struct TableSpec {
  std::string caption = {};
  std::vector<TableRow> rows = {};
  std::vector<TableColumn> columns = {};
  std::string compare = {};  // `from` of the row that every other one is tested against; empty: none
  TableKind kind = TableKind::scores;
  std::string reference = {};  // file of the paper's figures, or empty
  std::string source = {};     // where they were printed
  ReferenceTable paper = {};
};

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
  int64_t trials = 1;           // downstream repetitions with different seeds
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
  // Of a sweep: "stage.joint.epochs=3, …" of this trial; empty without one.
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
