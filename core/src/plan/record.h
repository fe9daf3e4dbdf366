#pragma once
// What is kept of parts on disk, typed: done.json, failed.json and stopped.json in a part's folder of the store;
// plan.json, sweep.json and provenance.json in a run folder. record.cpp alone knows the keys. Readers take what is
// there: a key that is absent, or whose value has another type, leaves its member as it is declared here.

#include <ivory/error.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ivory::experiment {

enum class PartKind { stage, task };

// What a result was made with.
struct Provenance {
  std::string version = {}, commit = {};
  bool dirty = false;     // uncommitted changes of Ivory's sources
  std::string diff = {};  // these changes; "" in the records of parts, whose run folder has it
  std::string command = {}, device = {}, cpu = {};
  int64_t cores = 0, threads = 0, memory_mib = 0;
  std::string host = {}, os = {}, kernel = {};
  std::map<std::string, std::string> environment = {};  // variables named IVORY_…, OMP_…, MKL_… and CUDA_…
  std::string started = {};                             // UTC; "" where nothing is known
  bool smoke = false;
};

struct NamedValue {
  std::string name;
  double value = 0;  // NaN where it could not be computed: null in JSON
};

// The work that the seconds of a part were for.
struct Work {
  double samples = 0, megapixels = 0;  // that enter the network
};

struct RecordedWeights {
  uintmax_t bytes = 0;
  std::string xxh3 = {};
};

// One prototype: the samples that match no other one better, nearest first, side by side.
struct PrototypePicture {
  std::string objective;
  std::string file;     // within <folder>/pictures
  std::string caption;  // "prototype 17: best match of 31 of 256 slices"
  std::string samples;  // "t1-head slice 81, t1-head slice 83"
};

// The positions that each layer sampled in one volume, among its slices or among the entries of their tokens.
struct AttentionPicture {
  bool of_slices = true;
  std::string file;                                         // the slices side by side, within <folder>/pictures; or ""
  std::string volume;                                       // its name
  int64_t length = 0;                                       // of the attended axis
  std::vector<std::vector<std::vector<double>>> positions;  // [layer][group][key], 0 … length − 1
};

struct StagePictures {
  std::vector<PrototypePicture> prototypes = {};
  std::optional<AttentionPicture> attention = {};
};

// A picture of a task's test samples.
struct SamplePicture {
  std::string file;  // within <folder>/pictures
  std::string caption;
};

struct RecordedMeasure {
  std::string unit = {};  // "loss": in the units of the loss
  std::optional<NamedValue> compare = {};
};

struct RecordedObjective {
  std::string name = {};
  double chance = 0;                                     // what a term costs while nothing is learnt, or 0
  std::map<std::string, RecordedMeasure> measures = {};  // by their logged names
};

struct StageRecord {
  std::vector<RecordedObjective> objectives = {};
  std::map<std::string, double> last = {};  // mean over the last epoch of every term and diagnostic
  StagePictures pictures = {};
};

struct TaskRecord {
  int64_t best_epoch = 0;
  std::vector<NamedValue> validation = {}, test = {};        // the first is the primary score
  std::vector<NamedValue> cases = {};                        // primary score by volume
  std::vector<std::pair<std::string, int64_t>> counts = {};  // {"empty ground truth", 3}
  std::vector<SamplePicture> pictures = {};
};

// done.json, the terminal record of a part.
struct Record {
  PartKind kind = PartKind::stage;
  std::string identity = {}, label = {}, finished = {};  // finished: UTC
  bool smoke = false;
  int64_t steps = 0;
  double epochs = 0, seconds = 0;
  Work work = {};
  int64_t peak_mib = 0;  // largest resident size of its process; 0: not known
  Provenance provenance = {};
  std::vector<std::string> inputs = {};  // folders of the store
  std::optional<RecordedWeights> weights = {};
  StageRecord stage = {};  // of a stage
  TaskRecord task = {};    // of a task
};

// failed.json, until the part is run again.
struct Failure {
  std::string identity = {}, label = {}, reason = {};
  ExitCode code = ExitCode::run_failed;
  std::string finished = {};
  bool smoke = false;
};

// stopped.json of a part that a sweep stopped before its end.
struct EarlyStop {
  std::string identity = {}, label = {}, reason = {}, finished = {};
  bool smoke = false;
};

// One entry of plan.json.
struct PlannedPart {
  std::string folder = {}, label = {}, identity = {};  // folder: of the store
  std::string settings = {};                           // hash of them (hashed_settings)
  std::vector<std::string> content = {};               // hash of each of its data sets
  std::vector<std::string> inputs = {};                // identities
  bool smoke = false;
  bool without_data = false;    // it was planned before; the data were missing when the plan was written last
  bool other_settings = false;  // and its settings are others by now
};

// One entry of sweep.json.
struct PlannedPoint {
  std::string folder = {}, point = {};  // in the sweep's folder; Experiment::sweep_point
  bool smoke = false;
};

constexpr const char* record_file = "done.json";
constexpr const char* failure_file = "failed.json";
constexpr const char* stopped_file = "stopped.json";
constexpr const char* plan_file = "plan.json";
constexpr const char* sweep_file = "sweep.json";
constexpr const char* provenance_file = "provenance.json";

// Text of each file.
std::string to_json(const Record& record);
std::string to_json(const Failure& failure);
std::string to_json(const EarlyStop& stop);
std::string to_json(const std::vector<PlannedPart>& plan);
std::string to_json(const std::vector<PlannedPoint>& sweep);
std::string to_json(const Provenance& provenance);

// From a part's folder. Empty where the file is absent or no JSON object.
std::optional<Record> read_record(const std::filesystem::path& folder);
std::optional<Failure> read_failure(const std::filesystem::path& folder);
std::optional<EarlyStop> read_stopped(const std::filesystem::path& folder);
// From a run folder. Empty where the file is absent or no JSON array.
std::optional<std::vector<PlannedPart>> read_plan(const std::filesystem::path& run);
std::optional<std::vector<PlannedPoint>> read_sweep(const std::filesystem::path& folder);
// From a run folder; all empty where the file is absent or no JSON object.
Provenance read_provenance(const std::filesystem::path& run);

// Name and value of what is known, for display: without `dirty` and `diff`.
std::vector<std::pair<std::string, std::string>> entries(const Provenance& provenance);

}  // namespace ivory::experiment
