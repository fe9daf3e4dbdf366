// What holds for every objective of the method: gradients are the numerical ones, the order of the batch does not
// matter, bf16 autocast stays near fp32.
#include <ATen/autocast_mode.h>

#include "support/golden.h"
#include "support/numerical_gradient.h"
#include "support/plugins.h"
#include "support/stage.h"

namespace {

using ivory::Batch;
using ivory::Objective;
using ivory::SampleKind;
using ivory::test::fill;
using torch::Tensor;

constexpr int64_t batch_size = 3;

// A code is a target: autograd holds it, a difference quotient moves it. A huge ε makes codes uniform, so that both
// agree; with real codes clustering_property_test.cpp holds them fixed.
constexpr double uniform_codes = 1e6;

struct Case {
  std::string name;
  ivory::test::Settings settings;
  std::vector<const char*> own, of_model;  // parameters whose gradients are checked
};

// A slice backbone that leaves difference quotients cheap; ResNet's own gradients are compared with torchvision's.
class TinyBackbone : public ivory::Backbone {
 public:
  TinyBackbone() {
    conv = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 10, 5).stride(3)));
    norm = register_module("norm", torch::nn::BatchNorm2d(10));
  }
  ivory::BackboneInfo info() const override {
    return {.input = ivory::InputKind::image, .level_widths = {}, .strides = {}, .width = 10};
  }
  ivory::Features forward(const Tensor& images) override {
    return {.levels = {}, .pooled = torch::gelu(norm(conv(images))).mean({2, 3}), .tokens = {}};
  }
  torch::nn::Conv2d conv{nullptr};
  torch::nn::BatchNorm2d norm{nullptr};
};

class EveryObjective : public testing::TestWithParam<Case> {
 protected:
  void prepare(torch::Dtype dtype, bool tiny, bool uniform = false) {
    dtype_ = dtype;
    auto settings = GetParam().settings;
    if (uniform && settings.front().first == "prototypes") settings.emplace_back("epsilon", uniform_codes);
    model = ivory::test::small_model(8, 16, dtype);
    if (tiny) {
      model =
          std::make_shared<ivory::Model>(std::make_shared<TinyBackbone>(), model->inter, ivory::LevelUse::last, 16, 8);
      model->to(dtype);
    }
    torch::manual_seed(2);
    objective = ivory::test::make<Objective>(GetParam().name, settings,
                                             {.slice_width = model->intra->info().width,
                                              .feature_width = model->feature_width(),
                                              .token_width = 16,
                                              .frames = 8,
                                              .samples = batch_size,
                                              .batch_size = batch_size});
    objective->to(dtype);
    auto stage = ivory::test::stage(0, batch_size, batch_size);
    stage.for_each_batch = [this](const auto& visit) { visit(batch()); };
    objective->before_training(*model, stage);
    objective->before_epoch(*model, stage);
    objective->before_step(*model, stage);
    if (auto* decoder = objective->named_parameters().find("decoder.weight")) {  // starts at 0: no gradient would pass
      const torch::NoGradGuard no_grad;
      decoder->copy_(fill(decoder->sizes(), 9));
    }
  }

  Batch batch() const {
    Batch made{.kind = objective->kind(), .views = {}, .index = torch::arange(batch_size)};
    for (uint64_t v = 0; v < 2; ++v) {
      const std::vector<int64_t> slice = {batch_size, 1, 32, 32}, volume = {batch_size, 8, 1, 32, 32};
      made.views.push_back(fill(made.kind == SampleKind::slice ? slice : volume, 1 + v).to(dtype_));
    }
    return made;
  }

  Tensor loss(const Batch& of) const { return objective->forward(*model, of)[0].second; }

  std::shared_ptr<ivory::Model> model;
  std::shared_ptr<Objective> objective;

 private:
  torch::Dtype dtype_ = torch::kDouble;
};

TEST_P(EveryObjective, HasTheNumericalGradients) {
  prepare(torch::kDouble, /*tiny=*/true, /*uniform=*/true);
  const auto f = [&] { return loss(batch()); };
  for (const char* name : GetParam().own) {
    EXPECT_LT(ivory::test::gradient_error(f, objective->named_parameters()[name], 15), 1e-5) << name;
  }
  for (const char* name : GetParam().of_model) {
    EXPECT_LT(ivory::test::gradient_error(f, model->named_parameters()[name], 15), 1e-5) << name;
  }
}

TEST_P(EveryObjective, DoesNotDependOnTheOrderOfTheBatch) {
  prepare(torch::kDouble, /*tiny=*/true);
  auto shuffled = batch();
  const auto order = torch::tensor({2, 0, 1});
  for (auto& view : shuffled.views) view = view.index_select(0, order);
  shuffled.index = order;
  const double expected = loss(batch()).item<double>();
  EXPECT_NEAR(loss(shuffled).item<double>(), expected, 1e-9 * std::max(1.0, expected));
}

TEST_P(EveryObjective, StaysNearFp32UnderBf16Autocast) {
  prepare(torch::kFloat, /*tiny=*/false);
  const double single = loss(batch()).item<double>();
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const auto half = loss(batch());
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_EQ(half.scalar_type(), torch::kFloat);
  // 8 bits through ResNet-18 with batch statistics of 3 samples, then divided by τ = 0.1.
  EXPECT_NEAR(half.item<double>(), single, 0.1 * single);
}

const std::vector<const char*> head = {"head.0.weight", "head.1.bias", "head.3.weight"};
const std::vector<const char*> slices = {"intra.conv.weight", "intra.norm.weight"};
const std::vector<const char*> volumes = {"intra.conv.weight", "projection.weight",
                                          "inter.layers.0.attention.offset_depthwise.weight", "inter.positions"};

INSTANTIATE_TEST_SUITE_P(
    OfTheMethod, EveryObjective,
    testing::Values(
        Case{"swav",
             {{"prototypes", int64_t{4}}, {"head_width", int64_t{24}}, {"embedding_width", int64_t{6}}},
             {"head.0.weight", "head.1.bias", "head.3.weight", "clustering.prototypes.weight"},
             slices},
        Case{"deepcluster-v2",
             {{"clusters", std::vector<int64_t>{3, 2}}, {"head_width", int64_t{24}}, {"embedding_width", int64_t{6}}},
             head,
             slices},
        Case{"agreement-3d", {{"prototypes", int64_t{4}}}, {"clustering.prototypes.weight"}, volumes},
        Case{"agreement-3d",
             {{"codes", std::string("deepcluster-v2")}, {"clusters", std::vector<int64_t>{3, 2}}},
             {},
             volumes},
        Case{"masked-embedding",
             {{"mask_ratio", 0.3}},
             {"mask_token", "decoder.weight", "decoder.bias"},
             {"projection.weight", "inter.layers.0.attention.to_q.weight",
              "inter.layers.0.attention.offset_depthwise.weight", "inter.positions"}}));

}  // namespace
