#include "nn/attention_fixture.h"

namespace {

using ivory::nn::DeformableAttentionSpec;
using ivory::test::fill;

// Doubles on both sides: what differs is the order of sums, in the generator also the dense interpolation.
void expect_golden(const std::string& name, const DeformableAttentionSpec& spec, double tolerance) {
  const auto golden = ivory::test::golden("attention")[name];
  auto attention = ivory::test::filled(spec);
  auto x = fill({2, spec.length, spec.channels}, 1).requires_grad_();
  const auto y = attention(x);
  (y * fill(y.sizes(), 3)).sum().backward();
  ivory::test::expect_summary(y, golden["output"], tolerance, "output");
  ivory::test::expect_summary(attention->positions(), golden["positions"], tolerance, "positions");
  ivory::test::expect_summary(x.grad(), golden["input_gradient"], tolerance, "input gradient");
  EXPECT_EQ(attention->named_parameters().size(), golden["gradients"].size());
  for (const auto& named : attention->named_parameters()) {
    ivory::test::expect_summary(named.value().grad(), golden["gradients"].at(named.key()), tolerance, named.key());
  }
}

TEST(DeformableAttentionReference, PaperWithATable) {
  expect_golden("table", ivory::test::table_spec(), 1e-11);
}

TEST(DeformableAttentionReference, AuthorsPackage) {
  expect_golden("release", ivory::test::release_spec(), 1e-11);
}

}  // namespace
