#include "nn/attention_fixture.h"
#include "plugins/transformer_settings.h"

namespace {

using ivory::Backbone;
using ivory::test::fill;
using ivory::test::Settings;

Settings small(const std::string& axis, const std::string& bias, const std::string& positional) {
  Settings settings = ivory::test::small_transformer(axis, bias);
  settings.emplace_back("positional", positional);
  return settings;
}

// Small transformers on both axes and of the authors' release, against tests/reference/attention.py.
struct Golden {
  const char* name;
  Settings settings;
  int64_t frames = 8, width = 12, volumes = 3;
};

class DeformableTransformerReference : public testing::TestWithParam<Golden> {
 protected:
  // The holistic feature, its gradients with respect to tokens and every parameter, and the last layer's key positions.
  static void expect_golden(torch::Dtype dtype, double tolerance) {
    const auto& [name, settings, frames, width, volumes] = GetParam();
    const auto golden = ivory::test::golden("attention")[name];
    auto inter =
        ivory::test::make<Backbone>("deformable-transformer", settings, {.size = {frames, 0, 0}, .token_width = width});
    inter->to(torch::kDouble);
    ivory::test::fill_by_name(*inter);
    inter->to(dtype);
    auto tokens = fill({volumes, frames, width}, 1).to(dtype).requires_grad_();
    const auto z = inter->forward(tokens).pooled;
    EXPECT_EQ(z.scalar_type(), dtype);
    (z * fill(z.sizes(), 3).to(dtype)).sum().backward();
    ivory::test::expect_summary(z, golden["output"], tolerance, "holistic feature");
    ivory::test::expect_summary(inter->sampled_positions().layers.back(), golden["positions"], tolerance, "positions");
    ivory::test::expect_summary(tokens.grad(), golden["input_gradient"], tolerance, "tokens' gradient");
    ivory::test::expect_gradients(*inter, golden["gradients"], tolerance);
  }
};

TEST_P(DeformableTransformerReference, InDouble) {
  // Two layers and the reference's dense interpolation add roundings.
  expect_golden(torch::kDouble, 1e-10);
}

TEST_P(DeformableTransformerReference, InSinglePrecision) {
  expect_golden(torch::kFloat, 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Forms, DeformableTransformerReference,
                         testing::Values(Golden{"slices_learned", small("slice", "table", "learned")},
                                         Golden{"slices_mlp", small("slice", "mlp", "none")},
                                         Golden{"embedding_sinusoidal", small("embedding", "mlp", "sinusoidal")},
                                         Golden{"embedding_table", small("embedding", "table", "none")},
                                         Golden{"authors_release",
                                                {{"preset", std::string("authors-release")},
                                                 {"layers", int64_t{2}},
                                                 {"ffn", int64_t{10}},
                                                 {"dropout", 0.0}},
                                                64,
                                                24,
                                                2}),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
