#pragma once
// RoIAlign (He et al., Mask R-CNN, ICCV 2017): the features under a box, at a fixed size.

#include <ivory/torch.h>

#include <vector>

namespace ivory::nn {

struct RoiAlign {
  int64_t size = 7;      // bins per axis
  int64_t sampling = 2;  // samples per bin and axis; 0: as many as a bin has pixels, rounded up
  // Whether pixel centres lie at half numbers. Else a box is half a pixel off, and at least one pixel wide: the first
  // version, which torchvision's detectors keep.
  bool aligned = false;
};

// features [N, C, H, W], float or double (others are computed in float); rois [k, 5]: image, then the box in the
// image's pixels; scale: features' pixels per image pixel → [k, C, size, size]. A bin is the mean of its bilinear
// samples, and those more than a pixel outside the features count 0. Gradients go to the features, none to the boxes.
torch::Tensor roi_align(const torch::Tensor& features, const torch::Tensor& rois, double scale,
                        const RoiAlign& options = {});

// Which level of a feature pyramid a box is taken from, 0 … levels − 1: boxes of 224² pixels from the third one (P4 of
// P2 …), half as wide ones from the level below (Lin et al., Feature Pyramid Networks, CVPR 2017).
torch::Tensor roi_levels(const torch::Tensor& boxes, int64_t levels = 4);

// From each box's own level: levels[l] [N, C, H / s_l, W / s_l] with strides[l] = s_l.
torch::Tensor roi_align_levels(const std::vector<torch::Tensor>& levels, const std::vector<double>& strides,
                               const torch::Tensor& rois, const RoiAlign& options = {});

}  // namespace ivory::nn
