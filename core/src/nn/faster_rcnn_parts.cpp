#include "nn/faster_rcnn_parts.h"

#include <ivory/nn/faster_rcnn.h>

namespace ivory::nn {
namespace {

using torch::Tensor;
using torch::nn::Conv2d;
using torch::nn::Linear;

Conv2d convolution(int64_t in, int64_t out, int64_t kernel) {
  return Conv2d(torch::nn::Conv2dOptions(in, out, kernel).padding(kernel / 2));
}

template <class Layer>
Layer normal(Layer layer, double deviation) {
  torch::nn::init::normal_(layer->weight, 0, deviation);
  torch::nn::init::zeros_(layer->bias);
  return layer;
}

// A module that holds another under a name, as the public code's containers of convolution and activation.
template <class Layer>
std::shared_ptr<torch::nn::Module> holding(const std::string& name, const Layer& layer) {
  auto holder = std::make_shared<torch::nn::Module>("block");
  holder->register_module(name, layer.ptr());
  return holder;
}

}  // namespace

FeaturePyramid::FeaturePyramid(const std::vector<int64_t>& widths, int64_t width, FasterRcnnOptions::Variant variant) {
  const bool mmdetection = variant == FasterRcnnOptions::Variant::mmdetection;
  torch::nn::ModuleList lateral, smooth;
  for (const int64_t in : widths) {
    lateral_.push_back(convolution(in, width, 1));
    smooth_.push_back(convolution(width, width, 3));
    for (auto& layer : {lateral_.back(), smooth_.back()}) {
      if (mmdetection) {
        torch::nn::init::xavier_uniform_(layer->weight);
      } else {
        torch::nn::init::kaiming_uniform_(layer->weight, /*a=*/1);
      }
      torch::nn::init::zeros_(layer->bias);
    }
    lateral->push_back(holding(mmdetection ? "conv" : "0", lateral_.back()));
    smooth->push_back(holding(mmdetection ? "conv" : "0", smooth_.back()));
  }
  register_module(mmdetection ? "lateral_convs" : "inner_blocks", lateral);
  register_module(mmdetection ? "fpn_convs" : "layer_blocks", smooth);
}

std::vector<Tensor> FeaturePyramid::forward(const std::vector<Tensor>& levels) {
  std::vector<Tensor> result(levels.size());
  Tensor from_above;
  for (size_t l = levels.size(); l-- > 0;) {
    auto x = lateral_[l]->forward(levels[l]);
    if (from_above.defined()) x = x + torch::upsample_nearest2d(from_above, x.sizes().slice(2));
    result[l] = smooth_[l]->forward(x);
    from_above = x;
  }
  result.push_back(torch::max_pool2d(result.back(), 1, 2));
  return result;
}

ProposalHead::ProposalHead(int64_t width, int64_t anchors, bool mmdetection)
    : conv_(normal(convolution(width, width, 3), 0.01)),
      score_(normal(convolution(width, anchors, 1), 0.01)),
      code_(normal(convolution(width, 4 * anchors, 1), 0.01)) {
  if (mmdetection) {
    register_module("rpn_conv", conv_);
    register_module("rpn_cls", score_);
    register_module("rpn_reg", code_);
    return;
  }
  torch::nn::ModuleList convolutions;
  convolutions->push_back(holding("0", conv_));
  register_module("conv", convolutions);
  register_module("cls_logits", score_);
  register_module("bbox_pred", code_);
}

std::pair<Tensor, Tensor> ProposalHead::forward(const Tensor& level) {
  const auto x = conv_->forward(level).relu_();
  return {score_->forward(x), code_->forward(x)};
}

BoxHead::BoxHead(int64_t in, int64_t width, int64_t classes, bool mmdetection)
    : first_(in, width),
      second_(width, width),
      classes_(width, classes + 1),
      codes_(width, 4 * (mmdetection ? classes : classes + 1)) {
  if (mmdetection) {
    for (auto& layer : {first_, second_}) {
      torch::nn::init::xavier_uniform_(layer->weight);
      torch::nn::init::zeros_(layer->bias);
    }
    normal(classes_, 0.01);
    normal(codes_, 0.001);
    torch::nn::ModuleList shared;
    shared->push_back(first_);
    shared->push_back(second_);
    register_module("shared_fcs", shared);
    register_module("fc_cls", classes_);
    register_module("fc_reg", codes_);
    return;
  }
  auto head = std::make_shared<torch::nn::Module>("box_head"), predictor = std::make_shared<torch::nn::Module>("box");
  head->register_module("fc6", first_);
  head->register_module("fc7", second_);
  predictor->register_module("cls_score", classes_);
  predictor->register_module("bbox_pred", codes_);
  register_module("box_head", head);
  register_module("box_predictor", predictor);
}

std::pair<Tensor, Tensor> BoxHead::forward(const Tensor& pooled) {
  const auto x = second_->forward(first_->forward(pooled.flatten(1)).relu()).relu();
  return {classes_->forward(x), codes_->forward(x)};
}

}  // namespace ivory::nn
