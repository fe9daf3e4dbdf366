#pragma once
// Small backbones for the tests of downstream tasks.
#include <ivory/image_volume.h>

#include <memory>
#include <string>
#include <vector>

namespace ivory::test {

// Five strided convolutions with a smooth activation (numerical gradients have no kinks here).
class TinyImage : public Backbone {
 public:
  TinyImage() {
    int64_t in = 3;
    for (size_t i = 0; i < widths_.size(); ++i) {
      convolutions_.push_back(
          register_module("conv" + std::to_string(i),
                          torch::nn::Conv2d(torch::nn::Conv2dOptions(in, widths_[i], 3).stride(2).padding(1))));
      in = widths_[i];
    }
  }
  BackboneInfo info() const override {
    BackboneInfo info{.input = Input::image, .width = widths_.back(), .token_levels = 4};
    for (int64_t l = 0; l < 5; ++l) info.levels.push_back({widths_[l], {1, int64_t{2} << l, int64_t{2} << l}});
    return info;
  }
  Features forward(const torch::Tensor& input) override {
    auto x = input.size(1) == 1 ? input.expand({-1, 3, -1, -1}) : input;
    Features features;
    for (auto& convolution : convolutions_) features.levels.push_back(x = torch::tanh(convolution->forward(x)));
    features.pooled = x.mean({2, 3});
    return features;
  }

 private:
  std::vector<int64_t> widths_ = {4, 6, 8, 8, 8};
  std::vector<torch::nn::Conv2d> convolutions_;
};

// Two strided convolutions of volumes; the second one keeps the slices' number.
class TinyVolume : public Backbone {
 public:
  TinyVolume() {
    first_ = register_module("conv0", torch::nn::Conv3d(torch::nn::Conv3dOptions(1, 4, 3).stride(2).padding(1)));
    second_ =
        register_module("conv1", torch::nn::Conv3d(torch::nn::Conv3dOptions(4, 6, 3).stride({1, 2, 2}).padding(1)));
  }
  BackboneInfo info() const override {
    return {.input = Input::volume, .levels = {{4, {2, 2, 2}}, {6, {2, 4, 4}}}, .width = 6};
  }
  Features forward(const torch::Tensor& input) override {
    const auto first = torch::tanh(first_->forward(input)), second = torch::tanh(second_->forward(first));
    return {.levels = {first, second}, .pooled = second.mean({2, 3, 4})};
  }

 private:
  torch::nn::Conv3d first_{nullptr}, second_{nullptr};
};

// One linear layer over tokens; pooled is the normalised mean (Eq. 10).
class TinyTokens : public Backbone {
 public:
  explicit TinyTokens(int64_t width) : width_(width) {
    linear_ = register_module("linear", torch::nn::Linear(width, width));
  }
  BackboneInfo info() const override { return {.input = Input::tokens, .width = width_}; }
  Features forward(const torch::Tensor& input) override {
    Features features;
    features.tokens = linear_->forward(input);
    features.pooled = torch::nn::functional::normalize(features.tokens.mean(1));
    return features;
  }

 private:
  int64_t width_;
  torch::nn::Linear linear_{nullptr};
};

}  // namespace ivory::test
