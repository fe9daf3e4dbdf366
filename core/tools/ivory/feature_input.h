#pragma once
// What `ivory features` computes features of.

#include <ivory/torch.h>

#include <cstdint>
#include <filesystem>
#include <functional>

namespace ivory::tools {

// Slices [1 or 3, H, W] or volumes [1, F, H, W], normalised as in training, made when they are asked for.
struct FeatureInput {
  int64_t count = 0;
  std::function<torch::Tensor(int64_t index)> sample;
};

struct InputShape {
  int64_t size = 224;  // pixels in the plane; tensors keep theirs
  int64_t frames = 0;  // slices that a volume is resampled to; 0: single slices are wanted
};

// A cache folder; a volume; a folder of images, or of a DICOM series; a tensor in a .npy or .safetensors file. Slices
// come volume by volume in the input's order. Throws missing_data when it does not exist, bad_request on what it does
// not hold.
FeatureInput open_input(const std::filesystem::path& input, const InputShape& shape);

}  // namespace ivory::tools
