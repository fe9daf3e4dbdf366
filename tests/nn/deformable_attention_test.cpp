#include "nn/attention_fixture.h"
#include "support/errors.h"

namespace {

using ivory::nn::DeformableAttention;
using ivory::nn::sample_linear;
using ivory::test::bad_request_of;
using ivory::test::fill;
using ivory::test::filled;
using ivory::test::release_spec;
using ivory::test::table_spec;
using testing::HasSubstr;

TEST(SampleLinear, InterpolatesAndClamps) {
  const auto values = torch::tensor({{{1.0, 3.0, 7.0}, {0.0, -2.0, 4.0}}}, torch::kDouble);
  const auto positions = torch::tensor({{-0.5, 0.0, 0.25, 1.0, 1.5, 2.0, 9.0}}, torch::kDouble);
  const auto expected =
      torch::tensor({{{1.0, 1.0, 1.5, 3.0, 5.0, 7.0, 7.0}, {0.0, 0.0, -0.5, -2.0, 1.0, 4.0, 4.0}}}, torch::kDouble);
  EXPECT_TRUE(torch::allclose(sample_linear(values, positions), expected, 0, 1e-15));
  EXPECT_TRUE(torch::equal(sample_linear(values.narrow(2, 1, 1), positions).select(2, 6), values.select(2, 1)));
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
