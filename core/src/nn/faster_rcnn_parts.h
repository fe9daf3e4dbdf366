#pragma once
// The heads of Faster R-CNN.

#include <ivory/torch.h>

#include <memory>
#include <utility>

namespace ivory::nn {

// Of each pyramid level: whether an anchor holds an object, and where.
class ProposalHead : public torch::nn::Module {
 public:
  ProposalHead(int64_t width, int64_t anchors, bool mmdetection);
  // [N, width, h, w] → [N, anchors, h, w], [N, 4 · anchors, h, w]
  std::pair<torch::Tensor, torch::Tensor> forward(const torch::Tensor& level);

 private:
  torch::nn::Conv2d conv_{nullptr}, score_{nullptr}, code_{nullptr};
};

// Of each box: its class, and where it really lies for each class.
class BoxHead : public torch::nn::Module {
 public:
  BoxHead(int64_t in, int64_t width, int64_t classes, bool mmdetection);
  // [k, C, 7, 7] → [k, 1 + classes], [k, 4 · outputs]: the background has a box too in torchvision's.
  std::pair<torch::Tensor, torch::Tensor> forward(const torch::Tensor& pooled);

 private:
  torch::nn::Linear first_{nullptr}, second_{nullptr}, classes_{nullptr}, codes_{nullptr};
};

}  // namespace ivory::nn
