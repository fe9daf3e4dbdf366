#pragma once
// Pictures of a trained stage for the report: prototypes with their nearest slices, and where deformable attention
// looked.

#include <ivory/objective.h>

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/loader.h"
#include "plan/record.h"
#include "train/trainer.h"

namespace ivory::experiment {

struct PictureRequest {
  const data::DataSet& data;
  std::filesystem::path folder;                       // <folder>/pictures/*.png, made anew
  int64_t slice_size = 64;                            // pixels of a slice that slice objectives see
  std::array<int64_t, 3> volume_size = {64, 64, 64};  // voxels of a volume that volume objectives see
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
