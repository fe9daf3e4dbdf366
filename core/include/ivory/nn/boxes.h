#pragma once
// Boxes in images: overlap, regression targets, suppression, fusion. A box is x_min, y_min, x_max, y_max in pixels,
// without "+ 1": (0, 0, 10, 10) is 10 pixels wide (networks_tasks.md §2).

#include <ivory/torch.h>

#include <array>
#include <cmath>

namespace ivory::nn {

// Intersection over union: a [n, 4], b [m, 4] → [n, m]; 0 where both boxes are empty.
torch::Tensor box_overlaps(const torch::Tensor& a, const torch::Tensor& b);

// Cut to [0, width] × [0, height]; boxes [..., 4].
torch::Tensor clip_boxes(const torch::Tensor& boxes, int64_t height, int64_t width);

// What a box regression predicts: where a box lies relative to an anchor, in the anchor's size,
//   w_x Δx / w_a,  w_y Δy / h_a,  w_w ln(w / w_a),  w_h ln(h / h_a)     Δ between the centres.
struct BoxCoder {
  std::array<double, 4> weights = {1, 1, 1, 1};
  double most = std::log(62.5);  // ln(w / w_a) is cut to this when decoded, so that exp does not overflow
  bool least = false;            // and to −most

  // boxes, anchors [n, 4] → [n, 4]. The boxes and anchors must have an area.
  torch::Tensor encode(const torch::Tensor& boxes, const torch::Tensor& anchors) const;
  // codes [n, 4·k] of k boxes for each anchor [n, 4] → [n, k, 4].
  torch::Tensor decode(const torch::Tensor& codes, const torch::Tensor& anchors) const;
};

// Which boxes stay when, from the best score down, those are dropped that overlap a better one that stays by more than
// `threshold`: places [k] int64, best first; of equal scores the earlier. boxes [n, 4], scores [n].
torch::Tensor suppress(const torch::Tensor& boxes, const torch::Tensor& scores, double threshold);
// The same within each class [n] int64: boxes of different classes leave each other alone.
torch::Tensor suppress_by_class(const torch::Tensor& boxes, const torch::Tensor& scores, const torch::Tensor& classes,
                                double threshold);

// Several readers' boxes of one image and finding as one each (weighted boxes fusion: Solovyev et al. 2021): from the
// best score down, a box joins the fused box that it overlaps most, if by more than `threshold`, else it begins one; a
// fused box is the mean of its boxes, weighted by their scores. The result depends on the order of equal scores.
struct FusedBoxes {
  torch::Tensor boxes;   // [k, 4]
  torch::Tensor scores;  // [k]: mean
};
enum class TiedBoxes {
  first,  // of equal scores the first comes first
  last    // the last one does: what a reversed ascending sort gives, as in the method's public code
};
FusedBoxes fuse_boxes(const torch::Tensor& boxes, const torch::Tensor& scores, double threshold,
                      TiedBoxes tied = TiedBoxes::first);

}  // namespace ivory::nn
