#include "support/golden.h"
#include "support/measures.h"
#include "support/plugins.h"
#include "support/stage.h"

namespace {

using ivory::Backbone;
using ivory::BackboneInfo;
using ivory::Features;
using ivory::Objective;
using ivory::test::fill;
using ivory::test::measured;
using torch::Tensor;

constexpr int64_t volumes = 3, frames = 20, width = 4;
constexpr uint64_t seed = 11;

// The closed forms of tests/reference/masked_embedding.py.
class FirstPixel : public Backbone {
 public:
  BackboneInfo info() const override { return {.input = ivory::Input::image, .width = 2}; }
  Features forward(const Tensor& images) override {
    const auto pixel = images.flatten(1).narrow(1, 0, 1);
    return {.pooled = torch::cat({torch::ones_like(pixel), pixel}, 1)};
  }
};
class WithNeighbour : public Backbone {
 public:
  BackboneInfo info() const override { return {.input = ivory::Input::tokens, .width = width}; }
  Features forward(const Tensor& tokens) override {
    const auto mixed = (tokens + tokens.roll(1, 1)).tanh();
    return {.pooled = mixed.mean(1), .tokens = mixed};
  }
};

void set(const Tensor& parameter, uint64_t salt) {
  const torch::NoGradGuard no_grad;
  Tensor(parameter).copy_(fill(parameter.sizes(), salt));
}

// Losses and baselines to `tolerance` of themselves.
void expect_golden(torch::Dtype dtype, double tolerance) {
  ivory::ImageVolumeModel model(std::make_shared<FirstPixel>(), std::make_shared<WithNeighbour>(),
                                ivory::LevelUse::last, width, frames);
  auto objective = ivory::test::make<Objective>("masked-embedding", {{"mask_ratio", 0.3}},
                                                {.on = ivory::SampleKind::volume, .width = width, .model = &model});
  model.to(dtype);
  objective->to(dtype);
  set(model.projection->weight, 22);
  set(model.projection->bias, 23);
  objective->before_training(model, ivory::test::stage(0, 1000, 4, seed));  // copies the target's projection
  set(model.projection->weight, 20);
  set(model.projection->bias, 21);
  auto own = objective->named_parameters();
  set(own["decoder.weight"], 24);
  set(own["decoder.bias"], 25);
  set(own["mask_token"], 26);
  ivory::Batch batch{
      .kind = ivory::SampleKind::volume,
      .views = {{fill({volumes, 1, frames, 2, 2}, 1).to(dtype)}, {fill({volumes, 1, frames, 2, 2}, 2).to(dtype)}},
      .index = torch::arange(volumes) + 40};

  const auto golden = ivory::test::golden("masked_embedding")["steps"];
  for (int64_t step = 0; step < 2; ++step) {
    SCOPED_TRACE(step);
    objective->before_step(model, ivory::test::stage(step, 1000, 4, seed));
    const auto loss = objective->forward(model, batch)[0].second;
    EXPECT_EQ(loss.scalar_type(), dtype);
    const auto measures = objective->measures();
    const std::pair<const char*, double> found[] = {{"loss", loss.item<double>()},
                                                    {"mean_token_error", measured(measures, "mean_token_error")},
                                                    {"neighbour_error", measured(measures, "neighbour_error")}};
    for (const auto& [name, value] : found) {
      const double expected = golden[step][name].get<double>();
      EXPECT_NEAR(value, expected, tolerance * expected) << name;
    }
  }
}

TEST(MaskedEmbeddingReference, LossBaselinesAndMasksOfTwoSteps) {
  expect_golden(torch::kDouble, 1e-12);
}

TEST(MaskedEmbeddingReference, InSinglePrecision) {
  expect_golden(torch::kFloat, 1e-5);
}

}  // namespace
