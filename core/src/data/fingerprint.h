#pragma once
// What a slice cache holds, in numbers and pictures: one pass over its slices, one slice of one volume a thread in
// memory. The same for any number of threads.

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "data/distribution.h"
#include "data/split_check.h"

namespace ivory::data {

struct LabelCount {
  int32_t id = 0;  // 0, background, is not counted
  uint64_t voxels = 0;
  double mm3 = 0;
};

struct VolumeFinding {
  VolumeInfo info;
  std::string pixels_hash;  // XXH3-128 of shape, type and values, without labels
  Intensities intensities;
  std::vector<LabelCount> labels;  // by id
};

struct Spread {
  double minimum = 0, median = 0, maximum = 0;
};
Spread spread_of(std::vector<double> values);

struct ModalityFinding {
  std::string modality;
  int64_t volumes = 0, slices = 0;
  std::vector<std::string> dtypes;
  std::array<Spread, 3> shape, spacing;  // slices, rows, columns; mm
  Intensities all, labelled;             // labelled: voxels of a label above 0
  Histogram all_histogram, labelled_histogram;
};

struct LabelFinding {
  int32_t id = 0;
  uint64_t voxels = 0;
  std::vector<double> mm3;  // of each volume that has it
};

// Volumes with the same pixels.
struct Duplicate {
  std::string pixels_hash;
  std::vector<int32_t> volumes;
  bool same_labels = true;
};

// Splits of one origin, and what is in more than one of them.
struct SplitFinding {
  std::string origin;  // "folders", "task lobes"
  bool allow_shared_patients = false;
  std::vector<NamedSplit> splits;
  std::vector<Shared> patients, content;
};

// The middle slices of a volume. Superior is up in coronal and sagittal ones; rows run from anterior to posterior in
// axial ones and columns in sagittal ones.
struct PlaneView {
  torch::Tensor grey;                      // [H, W] in 0 … 1 of the volume's window
  torch::Tensor labels;                    // [H, W] int16, undefined without
  std::array<double, 2> spacing = {1, 1};  // mm between rows, columns
};
struct VolumeView {
  int32_t volume = 0;
  PlaneView axial;
  std::optional<PlaneView> coronal, sagittal;  // of more than one slice
};

struct Fingerprint {
  std::string content_hash;
  std::vector<VolumeFinding> volumes;  // in the cache's order
  std::vector<ModalityFinding> modalities;
  std::vector<LabelFinding> labels;
  std::vector<Duplicate> duplicates;
  std::vector<SplitFinding> splits;
  std::vector<VolumeView> views;
  int64_t slices = 0;

  std::vector<VolumeInfo> infos() const;
};

struct FingerprintOptions {
  int64_t workers = 1;
  int64_t views = 12;                                              // volumes drawn, evenly over the cache
  std::function<void(int64_t done, int64_t total)> progress = {};  // volumes; from any thread, one call at a time
};

// Splits: those of the sources' folders, where there are some. Throws missing_data without a finished cache,
// bad_request where it is damaged.
Fingerprint make_fingerprint(const std::filesystem::path& folder, const FingerprintOptions& options);
// Splits of the same volumes by an experiment.
void add_splits(Fingerprint& fingerprint, const std::string& origin, std::vector<NamedSplit> splits,
                bool allow_shared_patients);
// fingerprint.json (docs/data.md).
nlohmann::json to_json(const Fingerprint& fingerprint);

}  // namespace ivory::data
