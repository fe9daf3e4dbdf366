#include "nn/attention_fixture.h"

namespace {

using ivory::nn::DeformableAttentionSpec;
using ivory::test::fill;

struct Golden {
  const char* name;
  DeformableAttentionSpec spec;
};

class DeformableAttentionReference : public testing::TestWithParam<Golden> {
 protected:
  static void expect_golden(torch::Dtype dtype, double tolerance) {
    const auto& [name, spec] = GetParam();
    const auto golden = ivory::test::golden("attention")[name];
    auto attention = ivory::test::filled(spec);
    attention->to(dtype);
    auto x = fill({2, spec.length, spec.channels}, 1).to(dtype).requires_grad_();
    const auto y = attention(x);
    EXPECT_EQ(y.scalar_type(), dtype);
    (y * fill(y.sizes(), 3).to(dtype)).sum().backward();
    ivory::test::expect_summary(y, golden["output"], tolerance, "output");
    ivory::test::expect_summary(attention->positions(), golden["positions"], tolerance, "positions");
    ivory::test::expect_summary(x.grad(), golden["input_gradient"], tolerance, "input gradient");
    ivory::test::expect_gradients(*attention, golden["gradients"], tolerance);
  }
};

TEST_P(DeformableAttentionReference, InDouble) {
  // Doubles on both sides: what differs is the order of sums, in the generator also the dense interpolation.
  expect_golden(torch::kDouble, 1e-11);
}

TEST_P(DeformableAttentionReference, InSinglePrecision) {
  // Relative to each tensor's norm; its elements round by 6e-8, some hundred of them are summed.
  expect_golden(torch::kFloat, 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Forms, DeformableAttentionReference,
                         testing::Values(Golden{"table", ivory::test::table_spec()},
                                         Golden{"mlp", ivory::test::mlp_spec()},
                                         Golden{"release", ivory::test::release_spec()}),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
