#include <ivory/nn/deformable_attention.h>

#include "support/errors.h"
#include "support/golden.h"
#include "support/numerical_gradient.h"

namespace {

using ivory::nn::DeformableAttention;
using ivory::nn::DeformableAttentionSpec;
using ivory::nn::sample_linear;
using ivory::test::bad_request_of;
using ivory::test::fill;
using ivory::test::gradient_error;
using testing::HasSubstr;
using torch::Tensor;

// Small, with everything that the spec can say; `release`: as the preset authors-release.
DeformableAttentionSpec table_spec() {
  return {.length = 12,
          .channels = 20,
          .heads = 4,
          .head_width = 6,
          .groups = 2,
          .downsampling = 3,
          .kernel = 5,
          .offset_scale = 1.5,
          .bias = "table"};
}
DeformableAttentionSpec release_spec() {
  return {.length = 24,
          .channels = 64,
          .heads = 8,
          .head_width = 4,
          .groups = 4,
          .downsampling = 4,
          .kernel = 6,
          .offset_scale = 2,
          .bias = "mlp",
          .grouped_qkv = true,
          .offset_norm = false,
          .align_corners = false,
          .offsets_on_key_grid = true};
}

// In double, filled as by tests/reference/attention.py: salts in the order of the names.
DeformableAttention filled(const DeformableAttentionSpec& spec) {
  DeformableAttention made(spec);
  made->to(torch::kDouble);
  const torch::NoGradGuard no_grad;
  std::map<std::string, Tensor> sorted;
  for (const auto& named : made->named_parameters()) sorted[named.key()] = named.value();
  uint64_t salt = 100;
  for (auto& [name, tensor] : sorted) tensor.copy_(fill(tensor.sizes(), salt++, 0.5));
  return made;
}

void expect_golden(const std::string& name, const DeformableAttentionSpec& spec, double tolerance) {
  const auto golden = ivory::test::golden("attention")[name];
  auto attention = filled(spec);
  auto x = fill({2, spec.length, spec.channels}, 1).requires_grad_();
  const auto y = attention(x);
  (y * fill(y.sizes(), 3)).sum().backward();
  // Doubles on both sides: what differs is the order of sums, in the generator also the dense interpolation.
  ivory::test::expect_summary(y, golden["output"], tolerance, "output");
  ivory::test::expect_summary(attention->positions(), golden["positions"], tolerance, "positions");
  ivory::test::expect_summary(x.grad(), golden["input_gradient"], tolerance, "input gradient");
  EXPECT_EQ(attention->named_parameters().size(), golden["gradients"].size());
  for (const auto& named : attention->named_parameters()) {
    ivory::test::expect_summary(named.value().grad(), golden["gradients"].at(named.key()), tolerance, named.key());
  }
}

TEST(SampleLinear, InterpolatesAndClamps) {
  const auto values = torch::tensor({{{1.0, 3.0, 7.0}, {0.0, -2.0, 4.0}}}, torch::kDouble);
  const auto positions = torch::tensor({{-0.5, 0.0, 0.25, 1.0, 1.5, 2.0, 9.0}}, torch::kDouble);
  const auto expected =
      torch::tensor({{{1.0, 1.0, 1.5, 3.0, 5.0, 7.0, 7.0}, {0.0, 0.0, -0.5, -2.0, 1.0, 4.0, 4.0}}}, torch::kDouble);
  EXPECT_TRUE(torch::allclose(sample_linear(values, positions), expected, 0, 1e-15));
  EXPECT_TRUE(torch::equal(sample_linear(values.narrow(2, 1, 1), positions).select(2, 6), values.select(2, 1)));
}

TEST(SampleLinear, GradientIsTheNumericalOne) {
  auto values = fill({2, 3, 7}, 1).requires_grad_();
  auto positions = fill({2, 5}, 2, 2.9, 3).requires_grad_();
  const auto f = [&] { return (sample_linear(values, positions) * fill({2, 3, 5}, 3)).sum(); };
  EXPECT_LT(gradient_error(f, values), 1e-8);
  EXPECT_LT(gradient_error(f, positions), 1e-8);
}

TEST(DeformableAttention, FollowsTheReferenceWithATable) {
  expect_golden("table", table_spec(), 1e-10);
}

TEST(DeformableAttention, FollowsTheAuthorsPackage) {
  expect_golden("release", release_spec(), 1e-7);  // the package builds its query grid in float32
}

TEST(DeformableAttention, GradientsAreTheNumericalOnesOffsetsIncluded) {
  for (const auto& spec : {table_spec(), release_spec()}) {
    auto attention = filled(spec);
    auto x = fill({2, spec.length, spec.channels}, 1).requires_grad_();
    const auto f = [&] { return (attention(x) * fill({2, spec.length, spec.channels}, 3)).sum(); };
    EXPECT_LT(gradient_error(f, x), 1e-6);
    for (const auto& named : attention->named_parameters()) {
      if (named.key() == "to_k.bias" || named.key() == "bias_mlp.4.bias") continue;  // softmax cancels them: exactly 0
      // A key at a clamped end or at a kink of the bias network would show as an error of order 1.
      EXPECT_LT(gradient_error(f, named.value(), 12), 1e-5) << named.key() << ", bias " << spec.bias;
    }
  }
}

TEST(DeformableAttention, WithoutOffsetsKeysLieOnTheGrid) {
  auto spec = table_spec();
  spec.offset_scale = 0;
  auto attention = filled(spec);
  attention(fill({1, 12, 20}, 1));
  const auto grid = torch::tensor({0.0, 11.0 / 3, 22.0 / 3, 11.0}, torch::kDouble);
  ASSERT_EQ(attention->positions().sizes(), (std::vector<int64_t>{1, 2, 4}));
  EXPECT_TRUE(torch::allclose(attention->positions(), grid.expand({1, 2, 4}), 0, 1e-12));
}

TEST(DeformableAttention, OffsetsAreBoundedInSamples) {
  auto spec = table_spec();
  auto attention = filled(spec);
  {
    const torch::NoGradGuard no_grad;
    attention->offset_pointwise->weight.fill_(1e3);  // tanh saturates
  }
  attention(fill({3, 12, 20}, 1));
  const auto grid = torch::tensor({0.0, 11.0 / 3, 22.0 / 3, 11.0}, torch::kDouble);
  const auto distance = (attention->positions() - grid).abs();
  EXPECT_LE(distance.max().item<double>(), 1.5 + 1e-12);
  EXPECT_NEAR(distance.select(2, 1).min().item<double>(), 1.5, 1e-9);  // inner keys, which are not clamped
}

// Equal keys and values everywhere: whatever is attended, the output is the value.
TEST(DeformableAttention, ConstantInputGivesAConstantOutput) {
  auto attention = filled(table_spec());
  const auto row = fill({20}, 8);
  const auto x = row.expand({2, 12, 20});
  const auto value = attention->to_v->weight.squeeze(2).matmul(row) + attention->to_v->bias;
  const auto expected = attention->to_out->weight.squeeze(2).matmul(value) + attention->to_out->bias;
  EXPECT_TRUE(torch::allclose(attention(x), expected.expand({2, 12, 20}), 0, 1e-12));
}

TEST(DeformableAttention, VolumesDoNotMix) {
  auto attention = filled(table_spec());
  const auto x = fill({3, 12, 20}, 1);
  const auto order = torch::tensor({2, 0, 1});
  EXPECT_TRUE(torch::allclose(attention(x.index_select(0, order)), attention(x).index_select(0, order), 0, 1e-12));
}

TEST(DeformableAttention, TakesOtherLengths) {
  for (const auto& spec : {table_spec(), release_spec()}) {
    auto attention = filled(spec);
    for (const int64_t length : {1, 2, 7, 13, 40}) {
      const auto y = attention(fill({2, length, spec.channels}, 1));
      EXPECT_EQ(y.sizes(), (std::vector<int64_t>{2, length, spec.channels}));
      EXPECT_EQ(attention->positions().size(2), std::max<int64_t>(1, length / spec.downsampling));
      EXPECT_TRUE(y.isfinite().all().item<bool>());
    }
  }
}

TEST(DeformableAttention, RefusesWhatDoesNotDivide) {
  const auto message = [](auto change) {
    auto spec = table_spec();
    change(spec);
    return bad_request_of([&] { DeformableAttention made(spec); });
  };
  EXPECT_THAT(message([](auto& s) { s.heads = 5; }), HasSubstr("2 groups do not divide 5 heads"));
  EXPECT_THAT(message([](auto& s) { s.channels = 21; }), HasSubstr("2 groups do not divide 21 channels"));
  EXPECT_THAT(message([](auto& s) { s.kernel = 2; }), HasSubstr("at least the down-sampling factor 3"));
  EXPECT_THAT(message([](auto& s) { s.downsampling = 13, s.kernel = 13; }), HasSubstr("cannot be down-sampled by 13"));
  EXPECT_THAT(message([](auto& s) { s.bias = "none"; }), HasSubstr("'table' or 'mlp', not 'none'"));
  auto attention = filled(table_spec());
  EXPECT_THAT(bad_request_of([&] { attention(torch::zeros({2, 12, 19}, torch::kDouble)); }), HasSubstr("[2, 12, 19]"));
}

}  // namespace
