#pragma once
// What an objective or a task asks of the data. No tensors: configuration, plan and report need no LibTorch.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ivory {

// A batch of slices is [B, 1, H, W], one of volumes [B, 1, D, H, W]; a stack of slices is a volume, and so is a cube.
enum class SampleKind { slice, volume };
// What a backbone takes: [N, C, H, W], [N, C, D, H, W], [N, T, D].
enum class Input { image, volume, tokens };

// `count` random crops of a slice: area in [scale_min, scale_max] of the slice, aspect ratio 3/4 … 4/3, resized to
// size × size.
struct CropSpec {
  int64_t count = 2;
  int64_t size = 224;  // pixels
  double scale_min = 0.14;
  double scale_max = 1.0;
  std::optional<double> blur = {};  // probability; without one SliceViewSpec's
  double solarise = 0;              // probability that grey values of at least half the window are inverted
};

// Views of a slice. Defaults: SwAV's recipe for grey images (method.md §2).
struct SliceViewSpec {
  std::vector<CropSpec> crops = {{2, 224, 0.14, 1.0}, {6, 96, 0.05, 0.14}};
  double flip = 0.5;                              // probability of a horizontal flip
  double intensity = 1.0;                         // strength of brightness and contrast jitter; 0 switches it off
  double gamma = 0.3;                             // its exponent: log gamma within ± gamma · intensity
  double blur = 0.5;                              // probability of a Gaussian blur
  std::array<double, 2> blur_sigma = {0.1, 2.0};  // pixels of the view, uniform
};

// What a cube is cut as before it is resized to the size of the views.
struct CubeSource {
  std::array<int64_t, 3> size = {0, 0, 0};  // voxels at the cubes' spacing: D, H, W
};

// Views of a volume: one transformation per view, applied alike to all its slices (method.md §5).
struct VolumeViewSpec {
  // whole: the volume resampled (linear) to `size`, never cropped. cube: a random box of it.
  enum class Extent { whole, cube };

  int64_t count = 2;
  Extent extent = Extent::whole;
  std::array<int64_t, 3> size = {64, 224, 224};  // voxels of a view: D (slices), H, W
  // Cubes only.
  std::array<double, 3> spacing = {0, 0, 0};  // mm per voxel along D, H, W; 0 keeps the volume's own
  double overlap = 0;   // each further cube of a sample shares at least this part of the first one's volume, in [0, 1]
  double most_air = 1;  // a cube with a larger share of air is drawn again, in (0, 1]
  double air_below = 0.05;     // a voxel is air below this intensity, in [0, 1] of the window
  bool pad = true;             // a volume smaller than the cube is padded by its border and counted; else it is refused
  double iou = 0;              // each further cube's box and the first one's share at least this part of their union
  double most_tissue = 1;      // a cube with a larger share of dense voxels is drawn again (Models Genesis), in (0, 1]
  double tissue_from = 0.425;  // a voxel is dense from this intensity on, in [0, 1] of the window
  std::array<int64_t, 3> border = {};    // voxels of the volume on either side that cubes keep off, where they can
  std::vector<CubeSource> sources = {};  // each cube is cut as one of these, uniformly; none: as `size`
  double flip = 0.5;                     // probability per axis
  double rotation = 10.0;                // degrees, about each axis, uniform in ±
  double scale = 0.1;                    // relative, uniform in ±
  double anisotropy = 0.25;              // probability of a coarser slice axis
  double noise = 0.5;                    // probability; Gaussian
  double blur = 0.5;                     // probability; Gaussian in the plane
  double bias_field = 0.5;               // probability; smooth multiplicative field
  double gamma = 0.5;                    // probability of an exponent
  // How strong, where they happen; uniform.
  std::array<double, 2> anisotropy_factor = {1.5, 4.0};  // how much thicker slices become
  std::array<double, 2> blur_sigma = {0.3, 1.5};         // pixels of the view
  std::array<double, 2> gamma_range = {0.7, 1.5};        // the exponent
  double noise_deviation = 0.1;                          // up to this standard deviation, of the window
  double bias_strength = 0.4;                            // the field is 1 ± up to this
};

}  // namespace ivory
