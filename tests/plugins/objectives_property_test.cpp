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

// A code is a target: autograd holds it, a difference quotient moves it. A huge ε makes codes uniform, so that both
// agree; with real codes clustering_property_test.cpp holds them fixed.
constexpr double uniform_codes = 1e6;

struct Case {
  std::string name;
  SampleKind on;
  ivory::test::Settings settings;
  std::vector<const char*> own, of_model;  // parameters whose gradients are checked

  bool slices() const { return on == SampleKind::slice; }
};

// A slice backbone that leaves difference quotients cheap; ResNet's own gradients are compared with torchvision's.
class TinyBackbone : public ivory::Backbone {
 public:
  TinyBackbone() {
    conv = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 10, 5).stride(3)));
    norm = register_module("norm", torch::nn::BatchNorm2d(10));
  }
  ivory::BackboneInfo info() const override { return {.input = ivory::Input::image, .width = 10}; }
  ivory::Features forward(const Tensor& images) override {
    return {.pooled = torch::gelu(norm(conv(images))).mean({2, 3})};
  }
  torch::nn::Conv2d conv{nullptr};
  torch::nn::BatchNorm2d norm{nullptr};
};

class EveryObjective : public testing::TestWithParam<Case> {
 protected:
  void prepare(torch::Dtype dtype, bool tiny, bool uniform = false, int64_t samples = 3) {
    dtype_ = dtype;
    samples_ = samples;
    auto settings = GetParam().settings;
    if (uniform && settings.front().first == "prototypes") settings.emplace_back("epsilon", uniform_codes);
    model = ivory::test::small_model(8, 16, dtype);
    if (tiny) {
      model = std::make_shared<ivory::ImageVolumeModel>(std::make_shared<TinyBackbone>(), model->inter,
                                                        ivory::LevelUse::last, 16, 8);
      model->to(dtype);
    }
    torch::manual_seed(2);
    objective = ivory::test::make<Objective>(GetParam().name, settings,
                                             {.on = GetParam().on,
                                              .width = model->width(GetParam().on),
                                              .samples = samples,
                                              .batch_size = samples,
                                              .model = model.get()});
    objective->to(dtype);
    auto stage = ivory::test::stage(0, samples, samples);
    stage.for_each_batch = [this](ivory::Tail, const auto& visit) { visit(batch()); };
    objective->before_training(*model, stage);
    objective->before_epoch(*model, stage);
    objective->before_step(*model, stage);
    if (auto* decoder = objective->named_parameters().find("decoder.weight")) {  // starts at 0: no gradient would pass
      const torch::NoGradGuard no_grad;
      decoder->copy_(fill(decoder->sizes(), 9));
    }
  }

  Batch batch(uint64_t salt = 1) const {
    Batch made{.kind = GetParam().on, .views = {}, .index = torch::arange(samples_)};
    for (uint64_t v = 0; v < 2; ++v) {
      const std::vector<int64_t> slice = {samples_, 1, 32, 32}, volume = {samples_, 1, 8, 32, 32};
      made.views.push_back({fill(GetParam().slices() ? slice : volume, salt + v).to(dtype_)});
    }
    return made;
  }

  Tensor loss(const Batch& of) const { return objective->forward(*model, of)[0].second; }

  std::shared_ptr<ivory::ImageVolumeModel> model;
  std::shared_ptr<Objective> objective;

 private:
  torch::Dtype dtype_ = torch::kDouble;
  int64_t samples_ = 0;
};

// Losses near 1 are sums of many doubles, known to some 1e-16 · 10; over the difference's 2e-6 that is 1e-9, beside
// derivatives that may be as small as 1e-4. A gradient that is wrong is off by about 1.
constexpr double difference_noise = 1e-4;

TEST_P(EveryObjective, HasTheNumericalGradients) {
  prepare(torch::kDouble, /*tiny=*/true, /*uniform=*/true);
  const auto f = [&] { return loss(batch()); };
  for (const char* name : GetParam().own) {
    EXPECT_LT(ivory::test::gradient_error(f, objective->named_parameters()[name], 15), difference_noise) << name;
  }
  for (const char* name : GetParam().of_model) {
    EXPECT_LT(ivory::test::gradient_error(f, model->named_parameters()[name], 15), difference_noise) << name;
  }
}

TEST_P(EveryObjective, DoesNotDependOnTheOrderOfTheBatch) {
  prepare(torch::kDouble, /*tiny=*/true);
  auto shuffled = batch();
  const auto order = torch::tensor({2, 0, 1});
  for (auto& view : shuffled.views) view.pixels = view.pixels.index_select(0, order);
  shuffled.index = order;
  const double expected = loss(batch()).item<double>();
  EXPECT_NEAR(loss(shuffled).item<double>(), expected, 1e-9 * std::max(1.0, expected));
}

// bf16 rounds by 2^-9. What is averaged over a volume's pixels and slices stays below one rounding; a slice's cosines
// keep it, and are divided by ε = 0.05 in SwAV's codes and τ = 0.1 in both losses. One batch may lie further off,
// behind a batch norm of few rows: bounded is the mean over several.
TEST_P(EveryObjective, StaysNearFp32UnderBf16Autocast) {
  const double rounding = std::exp2(-9), bound = GetParam().slices() ? rounding / 0.05 : rounding;
  const uint64_t batches = GetParam().slices() ? 8 : 2;
  for (const bool tiny : {true, false}) {  // three layers, and ResNet-18's
    prepare(torch::kFloat, tiny, /*uniform=*/false, /*samples=*/GetParam().slices() ? 12 : 3);
    double apart = 0;
    for (uint64_t b = 0; b < batches; ++b) {
      const auto one = batch(1 + 2 * b);
      const double single = loss(one).item<double>();
      at::autocast::set_autocast_enabled(at::kCPU, true);
      const auto half = loss(one);
      at::autocast::clear_cache();
      at::autocast::set_autocast_enabled(at::kCPU, false);
      EXPECT_EQ(half.scalar_type(), torch::kFloat);
      apart += std::abs(half.item<double>() / single - 1) / static_cast<double>(batches);
    }
    EXPECT_GT(apart, 0) << "autocast was on";
    EXPECT_LT(apart, bound) << (tiny ? "small backbone" : "ResNet-18");
  }
}

const std::vector<const char*> head = {"head.0.weight", "head.1.bias", "head.3.weight"};
const std::vector<const char*> slices = {"intra.conv.weight", "intra.norm.weight"};
const std::vector<const char*> volumes = {"intra.conv.weight", "projection.weight",
                                          "inter.layers.0.attention.offset_depthwise.weight", "inter.positions"};

INSTANTIATE_TEST_SUITE_P(
    OfTheMethod, EveryObjective,
    testing::Values(
        Case{"swav",
             SampleKind::slice,
             {{"prototypes", int64_t{4}}, {"head_width", int64_t{24}}, {"embedding_width", int64_t{6}}},
             {"head.0.weight", "head.1.bias", "head.3.weight", "clustering.prototypes.weight"},
             slices},
        Case{"deepcluster-v2",
             SampleKind::slice,
             {{"clusters", std::vector<int64_t>{3, 2}}, {"head_width", int64_t{24}}, {"embedding_width", int64_t{6}}},
             head,
             slices},
        Case{"swav", SampleKind::volume, {{"prototypes", int64_t{4}}}, {"clustering.prototypes.weight"}, volumes},
        Case{"deepcluster-v2", SampleKind::volume, {{"clusters", std::vector<int64_t>{3, 2}}}, {}, volumes},
        Case{"masked-embedding",
             SampleKind::volume,
             {{"mask_ratio", 0.3}},
             {"mask_token", "decoder.weight", "decoder.bias"},
             {"projection.weight", "inter.layers.0.attention.to_q.weight",
              "inter.layers.0.attention.offset_depthwise.weight", "inter.positions"}}));

}  // namespace
