#pragma once
// What an objective asks of the data, and the batches it gets.

#include <torch/torch.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace ivory {

enum class SampleKind { slice, volume };

// `count` random crops of a slice: area in [scale_min, scale_max] of the slice, aspect ratio 3/4 … 4/3, resized to
// size × size.
struct CropSpec {
  int64_t count = 2;
  int64_t size = 224;  // pixels
  double scale_min = 0.14;
  double scale_max = 1.0;
};

// Views of a slice. Defaults: SwAV's recipe for grey images (method.md §2).
struct SliceViewSpec {
  std::vector<CropSpec> crops = {{2, 224, 0.14, 1.0}, {6, 96, 0.05, 0.14}};
  double flip = 0.5;                              // probability of a horizontal flip
  double intensity = 1.0;                         // strength of brightness and contrast jitter; 0 switches it off
  double blur = 0.5;                              // probability of a Gaussian blur
  std::array<double, 2> blur_sigma = {0.1, 2.0};  // pixels of the view, uniform
};

// Views of a volume: one transformation per view, applied alike to all its slices (method.md §5).
struct VolumeViewSpec {
  int64_t count = 2;
  int64_t frames = 64;       // F: the slice axis is resampled (linear) to it, never cropped
  int64_t size = 224;        // pixels in the plane
  double flip = 0.5;         // probability per axis
  double rotation = 10.0;    // degrees, about each axis, uniform in ±
  double scale = 0.1;        // relative, uniform in ±
  double anisotropy = 0.25;  // probability of a coarser slice axis
  double noise = 0.5;        // probability; Gaussian
  double blur = 0.5;         // probability; Gaussian in the plane
  double bias_field = 0.5;   // probability; smooth multiplicative field
  double gamma = 0.5;        // probability of an exponent
  // How strong, where they happen; uniform.
  std::array<double, 2> anisotropy_factor = {1.5, 4.0};  // how much thicker slices become
  std::array<double, 2> blur_sigma = {0.3, 1.5};         // pixels of the view
  std::array<double, 2> gamma_range = {0.7, 1.5};        // the exponent
  double noise_deviation = 0.1;                          // up to this standard deviation, of the window
  double bias_strength = 0.4;                            // the field is 1 ± up to this
};

// One step's views, in [0, 1] before the normalisation (x - 0.5) / 0.25 that the loader applies.
struct Batch {
  SampleKind kind = SampleKind::slice;
  // Slices: each [B, 1, S_v, S_v]; volumes: each [B, F, 1, S, S]; float32, or as views.output says.
  std::vector<torch::Tensor> views;
  torch::Tensor index;  // [B] int64: id of the sample in the whole data set
  int64_t size() const { return index.defined() ? index.size(0) : 0; }
};

}  // namespace ivory
