#pragma once
// Anchors of a detector, and which of them a box of the truth belongs to (networks_tasks.md §2).

#include <ivory/torch.h>

#include <vector>

namespace ivory::nn {

// Around the origin: one per ratio (height over width) of area size² → [ratios, 4]; corners rounded to whole numbers as
// in torchvision, or not, as in MMDetection.
torch::Tensor cell_anchors(double size, const std::vector<double>& ratios, bool rounded);

// The same at every cell (row by row, all ratios of a cell together), the origin being at the cell's number times its
// stride → [rows · columns · ratios, 4].
torch::Tensor grid_anchors(const torch::Tensor& cell, int64_t rows, int64_t columns, int64_t row_stride,
                           int64_t column_stride);

struct MatchRule {
  // What becomes of a box that no anchor overlaps enough.
  enum class LowQuality {
    ignored,
    shared,    // every anchor that overlaps it most, however little, belongs to the box that the anchor overlaps most
    overwrite  // only from `least` on, and to this box; later boxes overwrite earlier ones
  };
  double positive = 0.7;  // at least: belongs to the box that it overlaps most
  double negative = 0.3;  // below: background; between them: ignored
  LowQuality low_quality = LowQuality::shared;
  double least = 0.3;
};

constexpr int64_t background = -1, ignored = -2;
// overlaps [boxes, anchors] → [anchors] int64: the box, `background`, or `ignored`. Without boxes all are background.
torch::Tensor match_anchors(const torch::Tensor& overlaps, const MatchRule& rule);

}  // namespace ivory::nn
