#include "nn/attention_fixture.h"
#include "plugins/transformer_settings.h"

namespace {

using ivory::Backbone;
using ivory::test::fill;
using ivory::test::Settings;

// Small transformers on both axes and of the authors' release, against tests/reference/attention.py: the holistic
// feature, its gradients with respect to tokens and every parameter, and the last layer's key positions.
void expect_golden(const std::string& name, const Settings& settings, int64_t frames, int64_t width, int64_t volumes) {
  const auto golden = ivory::test::golden("attention")[name];
  auto inter =
      ivory::test::make<Backbone>("deformable-transformer", settings, {.token_width = width, .frames = frames});
  inter->to(torch::kDouble);
  ivory::test::fill_by_name(*inter);
  auto tokens = fill({volumes, frames, width}, 1).requires_grad_();
  const auto z = inter->forward(tokens).pooled;
  (z * fill(z.sizes(), 3)).sum().backward();
  // Doubles; two layers and the reference's dense interpolation add roundings.
  constexpr double tolerance = 1e-10;
  ivory::test::expect_summary(z, golden["output"], tolerance, "holistic feature");
  ivory::test::expect_summary(inter->sampled_positions().back(), golden["positions"], tolerance, "positions");
  ivory::test::expect_summary(tokens.grad(), golden["input_gradient"], tolerance, "tokens' gradient");
  EXPECT_EQ(inter->named_parameters().size(), golden["gradients"].size());
  for (const auto& named : inter->named_parameters()) {
    ivory::test::expect_summary(named.value().grad(), golden["gradients"].at(named.key()), tolerance, named.key());
  }
}

Settings small(const std::string& axis, const std::string& bias, const std::string& positional) {
  Settings settings = ivory::test::small_transformer(axis, bias);
  settings.emplace_back("positional", positional);
  return settings;
}

TEST(DeformableTransformerReference, SlicesWithATableAndALearnedEncoding) {
  expect_golden("slices_learned", small("slice", "table", "learned"), 8, 12, 3);
}

TEST(DeformableTransformerReference, EmbeddingEntriesWithABiasNetworkAndSinusoids) {
  expect_golden("embedding_sinusoidal", small("embedding", "mlp", "sinusoidal"), 8, 12, 3);
}

TEST(DeformableTransformerReference, AuthorsRelease) {
  expect_golden(
      "authors_release",
      {{"preset", std::string("authors-release")}, {"layers", int64_t{2}}, {"ffn", int64_t{10}}, {"dropout", 0.0}}, 64,
      24, 2);
}

}  // namespace
