#pragma once
// For the tests of plugins: networks of a few parameters, and a registrar that hands out what a plugin's .cpp
// registers.

#include <ivory/image_volume.h>
#include <ivory/plugin.h>

#include <map>
#include <string>
#include <utility>

namespace ivory::fixtures {

// One convolution (3 × 3, stride 4) and a global average: [N, 1, H, W] → pooled [N, width].
class TinyBackbone : public Backbone {
 public:
  explicit TinyBackbone(int64_t width) : width_(width) {
    convolution_ =
        register_module("convolution", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, width, 3).stride(4).padding(1)));
  }
  BackboneInfo info() const override {
    return {.input = Input::image, .levels = {{width_, {1, 4, 4}}}, .width = width_, .token_levels = 1};
  }
  Features forward(const torch::Tensor& images) override {
    const torch::Tensor level = torch::relu(convolution_->forward(images));  // [N, width, H/4, W/4]
    return {.levels = {level}, .pooled = level.mean({2, 3})};
  }

 private:
  int64_t width_;
  torch::nn::Conv2d convolution_{nullptr};
};

// One linear map over tokens: [B, F, D] → tokens [B, F, D] and the unit-length mean over slices [B, D].
class TinyTokenBackbone : public Backbone {
 public:
  explicit TinyTokenBackbone(int64_t width) : width_(width) {
    linear_ = register_module("linear", torch::nn::Linear(width, width));
  }
  BackboneInfo info() const override { return {.input = Input::tokens, .levels = {}, .width = width_}; }
  Features forward(const torch::Tensor& input) override {
    const torch::Tensor tokens = linear_->forward(input);  // [B, F, D]
    const auto unit = torch::nn::functional::NormalizeFuncOptions().dim(1);
    return {.pooled = torch::nn::functional::normalize(tokens.mean(1), unit), .tokens = tokens};
  }

 private:
  int64_t width_;
  torch::nn::Linear linear_{nullptr};
};

// The joint model of the two above.
inline std::shared_ptr<ImageVolumeModel> tiny_model(int64_t slice_width, int64_t token_width, int64_t frames) {
  return std::make_shared<ImageVolumeModel>(std::make_shared<TinyBackbone>(slice_width),
                                            std::make_shared<TinyTokenBackbone>(token_width), LevelUse::last,
                                            token_width, frames);
}

// `Capture plugins; ivory_register(plugins);` in a test that includes the plugin's .cpp.
class Capture : public Registrar {
 public:
  void add(Descriptor<Backbone> descriptor) override { backbones.emplace(descriptor.name, std::move(descriptor)); }
  void add(Descriptor<Model> descriptor) override { models.emplace(descriptor.name, std::move(descriptor)); }
  void add(Descriptor<Objective> descriptor) override { objectives.emplace(descriptor.name, std::move(descriptor)); }
  void add(Descriptor<Task> descriptor) override { tasks.emplace(descriptor.name, std::move(descriptor)); }

  std::map<std::string, Descriptor<Backbone>> backbones;
  std::map<std::string, Descriptor<Model>> models;
  std::map<std::string, Descriptor<Objective>> objectives;
  std::map<std::string, Descriptor<Task>> tasks;
};

}  // namespace ivory::fixtures
