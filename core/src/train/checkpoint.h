#pragma once
// checkpoints/step-000123/{weights.safetensors, state.safetensors, state.json}: written under a temporary name,
// fsynced, renamed. A directory that was half written, or whose checksums differ, is passed over when training goes on.

#include <nlohmann/json.hpp>
#include <optional>

#include "base/hash.h"
#include "weights/safetensors.h"

namespace ivory::train {

struct Checkpoint {
  int64_t step = 0;
  nlohmann::json state;        // where training stands
  NamedTensors weights;        // of the model
  NamedTensors extra;          // objectives and, until the last step, optimiser
  std::filesystem::path path;  // filled by load
};

// Where a folder's newest checkpoint stands whose state.json is whole; changes nothing and reads no tensors, for who
// looks on. Empty where nothing was saved.
struct SavedAt {
  int64_t step = 0;
  int64_t epoch = 0;  // so many are over
};
std::optional<SavedAt> saved_at(const std::filesystem::path& folder);

// Removes <folder>/checkpoints, which only a resume needs. Call it once the part in this folder is recorded as done.
void discard_checkpoints(const std::filesystem::path& folder);

class CheckpointStore {
 public:
  // Removes what a killed process left half written.
  CheckpointStore(std::filesystem::path folder, std::string identity, int64_t keep_last);

  // Throws run_failed (a full disk, …); what was there before stays. Then drops all but the newest keep_last and the
  // best, and those of later steps, which newest() had passed over.
  void save(const Checkpoint& checkpoint, bool best);
  // The newest whose files are whole. Throws bad_request when it belongs to another configuration.
  std::optional<Checkpoint> newest() const;
  // Makes the checkpoint of this step the best, if it is there: save() may have been killed before it did.
  void mark_best(int64_t step) const;
  // Throws run_failed when there is none or it is damaged.
  Checkpoint best() const;
  // Makes the weights of this step's checkpoint `file`, which outlives it: a second name of the same bytes, or a copy
  // on a file system without hard links.
  base::HashedFile hand_over(int64_t step, const std::filesystem::path& file) const;
  // For messages: the path of the newest that is whole, or "none yet".
  std::string last_good() const;

 private:
  Checkpoint load(const std::filesystem::path& directory) const;
  void prune(int64_t newest_step) const;

  std::filesystem::path folder_;
  std::string identity_;
  int64_t keep_last_;
};

}  // namespace ivory::train
