#include "plugins/transformer_settings.h"
#include "support/golden.h"
#include "support/numerical_gradient.h"

namespace {

using ivory::Backbone;
using ivory::test::fill;
using ivory::test::Settings;
using ivory::test::small_transformer;

struct Case {
  Settings settings;
  int64_t frames, width;
};

class TransformerGradient : public testing::TestWithParam<Case> {};

TEST_P(TransformerGradient, IsTheNumericalOne) {
  const auto& [settings, frames, width] = GetParam();
  torch::manual_seed(4);
  auto inter =
      ivory::test::make<Backbone>("deformable-transformer", settings, {.size = {frames, 0, 0}, .token_width = width});
  inter->to(torch::kDouble);
  auto x = fill({2, frames, width}, 1).requires_grad_();
  const auto f = [&] {
    const auto features = inter->forward(x);
    return (features.tokens * fill({2, frames, width}, 2)).sum() + (features.pooled * fill({2, width}, 3)).sum();
  };
  EXPECT_LT(ivory::test::gradient_error(f, x, 30), 1e-5);
  for (const char* name :
       {"positions", "layers.0.attention.offset_depthwise.weight", "layers.1.attention.offset_pointwise.weight",
        "layers.0.attention.bias_table", "layers.0.attention.bias_mlp.0.weight", "layers.0.attention.to_k.weight",
        "layers.1.ffn.0.weight", "layers.0.norm1.weight"}) {
    const auto* parameter = inter->named_parameters().find(name);
    if (!parameter) continue;  // of the other bias, or no encoding
    EXPECT_LT(ivory::test::gradient_error(f, *parameter, 10), 1e-5) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(
    AxesBiasesAndPresets, TransformerGradient,
    testing::Values(
        Case{small_transformer("slice", "table"), 8, 12}, Case{small_transformer("slice", "mlp"), 8, 12},
        Case{small_transformer("embedding", "table"), 8, 12}, Case{small_transformer("embedding", "mlp"), 8, 12},
        Case{
            {{"preset", std::string("authors-release")}, {"layers", int64_t{2}}, {"ffn", int64_t{8}}, {"dropout", 0.0}},
            64,
            16}));

}  // namespace
