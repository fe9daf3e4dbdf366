#pragma once
// Pictures of a trained stage for the report: prototypes with their nearest slices, and where deformable attention
// looked.

#include <ivory/objective.h>

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/loader.h"
#include "train/trainer.h"

namespace ivory::experiment {

struct PictureRequest {
  const data::DataSet& data;
  std::filesystem::path folder;                       // <folder>/pictures/*.png, made anew
  int64_t slice_size = 64;                            // pixels of a slice that slice objectives see
  std::array<int64_t, 3> volume_size = {64, 64, 64};  // voxels of a volume that volume objectives see
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
  std::vector<PrototypePicture> prototypes;
  std::optional<AttentionPicture> attention;
};

// Puts the model and the objectives into eval mode. Prototypes of every objective that clusters, those in use by most
// samples first; attention where an objective on volumes trains a backbone that tells where it looked.
StagePictures draw_stage(Model& model, const std::vector<train::TrainedObjective>& objectives,
                         const PictureRequest& request, torch::Device device);

// The loaders' normalisation undone: x · 0.25 + 0.5, clamped to [0, 1].
torch::Tensor as_grey(const torch::Tensor& normalised);
// [N, 1, H, W] → [N, 1, rows, columns], with anti-aliasing.
torch::Tensor resized(const torch::Tensor& images, int64_t rows, int64_t columns);

// [N, S, S] floats in [0, 1], `columns` a row → [3, H, W] uint8 with a one-pixel border.
torch::Tensor contact_sheet(const torch::Tensor& slices, int64_t columns);

}  // namespace ivory::experiment
