#pragma once
// A network of volumes of a few parameters, and its reference in tests/reference/ssl3d.py: one level, tanh of a
// convolution (2³, stride 2); pooled, its mean; decoded, each of its voxels twice along every axis.
#include <ivory/model.h>
#include <ivory/objective.h>

#include <algorithm>

#include "support/golden.h"
#include "support/plugins.h"

namespace ivory::test {

class PatchBackbone : public Backbone {
 public:
  explicit PatchBackbone(int64_t width) : width_(width) {
    convolution = register_module("convolution", torch::nn::Conv3d(torch::nn::Conv3dOptions(1, width, 2).stride(2)));
  }
  BackboneInfo info() const override {
    return {.input = Input::volume, .levels = {{width_, {2, 2, 2}}}, .width = width_};
  }
  Features forward(const torch::Tensor& volumes) override {
    const torch::Tensor level = torch::tanh(convolution->forward(volumes));
    return {.levels = {level}, .pooled = level.mean({2, 3, 4})};
  }

  torch::nn::Conv3d convolution{nullptr};

 private:
  int64_t width_;
};

class PatchDecoder : public torch::nn::Module {};

class PatchModel : public Model {
 public:
  explicit PatchModel(int64_t width) : width_(width) {
    encoder_ = register_module("encoder", std::make_shared<PatchBackbone>(width));
    register_module("decoder", std::make_shared<PatchDecoder>());
  }
  int64_t width(SampleKind kind) const override { return kind == SampleKind::volume ? width_ : 0; }
  Features embed(const torch::Tensor& volumes) override {
    seen = volumes;
    return encoder_->forward(volumes);
  }
  std::shared_ptr<Backbone> encoder(SampleKind kind) const override {
    return kind == SampleKind::volume ? encoder_ : nullptr;
  }
  torch::Tensor decode(const Features& features) override {
    torch::Tensor dense = features.levels.back();
    for (const int64_t axis : {2, 3, 4}) dense = dense.repeat_interleave(2, axis);
    return dense;
  }
  int64_t dense_width() const override { return width_; }

  torch::Tensor seen;  // by the last embed()

 private:
  int64_t width_;
  std::shared_ptr<PatchBackbone> encoder_;
};

// Every parameter, in the order of their names, filled with the next salt.
inline void fill_parameters(torch::nn::Module& module, uint64_t salt, double scale = 0.4) {
  const torch::NoGradGuard no_grad;
  auto parameters = module.named_parameters();
  std::vector<std::string> names = parameters.keys();
  std::ranges::sort(names);
  for (const std::string& name : names) parameters[name].copy_(fill(parameters[name].sizes(), salt++, scale));
}

inline std::shared_ptr<PatchModel> patch_model(int64_t width = 4, uint64_t salt = 50) {
  auto model = std::make_shared<PatchModel>(width);
  model->to(torch::kDouble);
  fill_parameters(*model, salt);
  return model;
}

// An objective on a patch model, in double, its parameters filled from `salt` on.
inline std::shared_ptr<Objective> patch_objective(const std::string& name, const Settings& settings,
                                                  const std::shared_ptr<PatchModel>& model,
                                                  Objective::Context context = {}, uint64_t salt = 100) {
  torch::manual_seed(1);
  context.on = SampleKind::volume;
  context.width = model->width(SampleKind::volume);
  context.model = model.get();
  context.fresh_model = [width = context.width] { return patch_model(width, 70); };
  auto objective = make<Objective>(name, settings, context);
  objective->to(torch::kDouble);
  fill_parameters(*objective, salt);
  return objective;
}

// `usual`, over which the settings that are given go.
inline Settings over(Settings usual, const Settings& given) {
  usual.insert(usual.end(), given.begin(), given.end());
  return usual;
}

// A batch of volumes with what an objective would have prepared.
inline Batch prepared_batch(std::vector<torch::Tensor> prepared, int64_t first_id = 0) {
  Batch batch{
      .kind = SampleKind::volume, .views = {}, .index = torch::arange(first_id, first_id + prepared[0].size(0))};
  batch.prepared = std::move(prepared);
  return batch;
}

// A sample as a loader's thread sees it: random grey values, normalised.
inline Sample sample_of(torch::IntArrayRef sides, uint64_t index = 0, int64_t views = 2, uint64_t epoch = 0) {
  Sample sample{.kind = SampleKind::volume, .seed = 9, .epoch = epoch, .index = index};
  std::vector<int64_t> shape = {1};
  shape.insert(shape.end(), sides.begin(), sides.end());
  for (int64_t v = 0; v < views; ++v)
    sample.views.push_back({fill(shape, 3 + index * 7 + static_cast<uint64_t>(v), 2).to(torch::kFloat32)});
  return sample;
}

// What prepare() makes of the samples `first` … `first + count` − 1, stacked, in double where it is real.
inline Batch prepare_batch(const Objective& objective, torch::IntArrayRef sides, int64_t count, int64_t views = 2,
                           int64_t first = 0) {
  std::vector<std::vector<torch::Tensor>> by_name;
  for (int64_t i = 0; i < count; ++i) {
    const auto made = objective.prepare(sample_of(sides, static_cast<uint64_t>(first + i), views));
    EXPECT_EQ(made.size(), objective.prepares().size());
    by_name.resize(made.size());
    for (size_t k = 0; k < made.size(); ++k)
      by_name[k].push_back(made[k].is_floating_point() ? made[k].to(torch::kDouble) : made[k]);
  }
  std::vector<torch::Tensor> prepared;
  for (const auto& parts : by_name) prepared.push_back(torch::stack(parts));
  return prepared_batch(prepared, first);
}

inline double term(const LossTerms& terms, const std::string& name) {
  for (const auto& [known, value] : terms) {
    if (known == name) return value.item<double>();
  }
  ADD_FAILURE() << "no term " << name;
  return -1;
}

inline torch::Tensor sum_of(const LossTerms& terms) {
  torch::Tensor sum = torch::zeros({}, torch::kDouble);
  for (const auto& one : terms) sum = sum + one.second;
  return sum;
}

inline double measured(const Objective& objective, const std::string& name) {
  for (const auto& one : objective.measures()) {
    if (one.name == name) return one.value;
  }
  ADD_FAILURE() << "no measure " << name;
  return -1;
}

}  // namespace ivory::test
