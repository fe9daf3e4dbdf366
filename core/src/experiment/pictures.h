#pragma once
// Pictures of a trained stage for the report: prototypes with their nearest slices, and where deformable attention
// looked.

#include <ivory/objective.h>

#include <filesystem>
#include <vector>

#include "data/loader.h"

namespace ivory::experiment {

struct PictureRequest {
  const data::DataSet& data;
  std::filesystem::path folder;  // <folder>/pictures/*.png
  int64_t size = 64;             // pixels of one slice
  bool attends_slices = true;    // whether the token backbone's sampled positions are slices
};

// Writes prototypes.png (a row per prototype in use: the slices nearest to it) for each slice objective with
// prototypes, and attention.png (the slices of one volume; below, per layer, the positions sampled). Returns the files
// written.
std::vector<std::filesystem::path> draw_stage(Model& model, const std::vector<std::shared_ptr<Objective>>& objectives,
                                              const PictureRequest& request, torch::Device device);

// [N, S, S] floats in [0, 1], `columns` a row → [3, H, W] uint8 with a one-pixel border.
torch::Tensor contact_sheet(const torch::Tensor& slices, int64_t columns);

}  // namespace ivory::experiment
