#pragma once
// checkpoints/step-000123/{weights.safetensors, state.safetensors, state.json}: written under a temporary name,
// fsynced, renamed. A directory that was half written, or whose checksums differ, is passed over when training goes on.

#include <nlohmann/json.hpp>
#include <optional>

#include "train/safetensors.h"

namespace ivory::train {

struct Checkpoint {
  int64_t step = 0;
  nlohmann::json state;        // where training stands
  NamedTensors weights;        // of the model
  NamedTensors extra;          // objectives and optimiser
  std::filesystem::path path;  // filled by load
};

class CheckpointStore {
 public:
  // Removes what a killed process left half written.
  CheckpointStore(std::filesystem::path folder, std::string identity, int64_t keep_last);

  // Throws run_failed (a full disk, …); what was there before stays. Then drops all but the newest keep_last and the
  // best.
  void save(const Checkpoint& checkpoint, bool best);
  // The newest whose files are whole. Throws bad_request when it belongs to another configuration.
  std::optional<Checkpoint> newest() const;
  // The one saved with best = true. Throws run_failed when there is none or it is damaged.
  Checkpoint best() const;
  // For messages: the newest directory's path, or "none yet".
  std::string last_good() const;

 private:
  std::vector<std::filesystem::path> complete() const;  // newest first
  Checkpoint load(const std::filesystem::path& directory) const;
  void prune() const;

  std::filesystem::path folder_;
  std::string identity_;
  int64_t keep_last_;
};

}  // namespace ivory::train
