#include "nn/attention_fixture.h"
#include "support/numerical_gradient.h"

namespace {

using ivory::nn::sample_linear;
using ivory::test::fill;
using ivory::test::gradient_error;

TEST(SampleLinearProperty, GradientIsTheNumericalOne) {
  auto values = fill({2, 3, 7}, 1).requires_grad_();
  auto positions = fill({2, 5}, 2, 2.9, 3).requires_grad_();
  const auto f = [&] { return (sample_linear(values, positions) * fill({2, 3, 5}, 3)).sum(); };
  EXPECT_LT(gradient_error(f, values), 1e-8);
  EXPECT_LT(gradient_error(f, positions), 1e-8);
}

class AttentionGradient : public testing::TestWithParam<ivory::nn::DeformableAttentionSpec> {};

TEST_P(AttentionGradient, IsTheNumericalOneOffsetsIncluded) {
  const auto& spec = GetParam();
  auto attention = ivory::test::filled(spec);
  auto x = fill({2, spec.length, spec.channels}, 1).requires_grad_();
  const auto f = [&] { return (attention(x) * fill({2, spec.length, spec.channels}, 3)).sum(); };
  EXPECT_LT(gradient_error(f, x), 1e-6);
  f().backward();
  for (const auto& named : attention->named_parameters()) {
    // These two add one value to all logits of a query (q · bias of the keys, the last bias of the bias network), which
    // the softmax cancels: their derivatives are exactly 0, and a difference quotient of them is rounding noise alone.
    if (named.key() == "to_k.bias" || named.key() == "bias_mlp.4.bias") {
      EXPECT_LT(named.value().grad().abs().max().item<double>(), 1e-11) << named.key();
      continue;
    }
    // A key at a clamped end or at a kink of the bias network would show as an error of order 1.
    EXPECT_LT(gradient_error(f, named.value(), 12), 1e-5) << named.key();
  }
}

INSTANTIATE_TEST_SUITE_P(Specs, AttentionGradient,
                         testing::Values(ivory::test::table_spec(), ivory::test::mlp_spec(),
                                         ivory::test::release_spec()));

}  // namespace
