#pragma once
// Dense outputs of whole volumes from a network that takes cubes: windows that overlap, blended. The same windows,
// weights and padding as MONAI's sliding_window_inference (networks_tasks.md §1.9).

#include <ivory/torch.h>

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

namespace ivory::nn {

struct SlidingWindow {
  std::array<int64_t, 3> roi = {96, 96, 96};  // voxels of a window: D, H, W
  double overlap = 0.25;                      // of neighbouring windows along an axis, in [0, 1)
  // Weights in the blend: exp(−x²/2σ²) along each axis, x from the window's centre, σ = roi / 8, and at least 1e-3;
  // else all are 1.
  bool gaussian = false;
  int64_t at_once = 4;  // windows that the network gets together
  // A volume smaller than the window is padded on both sides, by zeros or by its border, and its output cropped.
  bool pad_by_border = false;
};

// First voxels of the windows along an axis of size ≥ roi; the last window ends at the border.
std::vector<int64_t> window_starts(int64_t size, int64_t roi, double overlap);
// [D, H, W]
torch::Tensor window_weights(const SlidingWindow& window, const torch::TensorOptions& options);

// [n, C, roi…] → [n, K, roi…]
using WindowNetwork = std::function<torch::Tensor(const torch::Tensor&)>;

// Hands out the blended outputs of a volume [1, C, D, H, W] in slabs [1, K, n, H, W] of slices first … first + n − 1,
// in order and each slice once. Memory beside the volume: K + 1 values per voxel of one slab as thick as a window.
void sliding_window(const torch::Tensor& volume, const SlidingWindow& window, const WindowNetwork& network,
                    const std::function<void(int64_t first, const torch::Tensor& output)>& slab);
// All slabs together: [1, K, D, H, W].
torch::Tensor sliding_window(const torch::Tensor& volume, const SlidingWindow& window, const WindowNetwork& network);

}  // namespace ivory::nn
