// The fused pass against torch's own operators: values, all gradients, running statistics.
#include <gtest/gtest.h>
#include <ivory/nn/batch_norm.h>

namespace {

using ivory::nn::batch_norm_act;
using torch::Tensor;

struct Case {
  bool residual, relu;
  torch::ScalarType type;
  std::vector<int64_t> shape = {5, 24, 7, 6};
};

struct Result {
  Tensor y, grad_x, grad_residual, grad_weight, grad_bias, mean, variance;
};

Tensor channels_last(const Tensor& x) {
  return x.contiguous(x.dim() == 5 ? torch::MemoryFormat::ChannelsLast3d : torch::MemoryFormat::ChannelsLast);
}

// Runs the fused path on channels-last input, or the composed one of torch in double precision.
template <class Norm>
Result run(const Case& c, bool reference) {
  torch::manual_seed(3);
  Norm norm(24);
  {
    torch::NoGradGuard no_grad;
    norm->weight.uniform_(0.5, 1.5);
    norm->bias.uniform_(-0.5, 0.5);
  }
  // Rounded to the tested type first, so that both sides see the same numbers; a mean far from 0 tests cancellation.
  std::vector<int64_t> per_channel(c.shape.size(), 1);
  per_channel[1] = 24;
  Tensor x = (torch::randn(c.shape) * 2 + 30 * torch::randn(per_channel)).to(c.type);
  Tensor r = torch::randn(c.shape).to(c.type);
  const Tensor g = torch::randn(c.shape).to(c.type);
  if (reference) {
    norm->to(torch::kDouble);
    x = x.to(torch::kDouble);
    r = r.to(torch::kDouble);
  } else {
    x = channels_last(x);
    r = channels_last(r);
  }
  x.requires_grad_();
  r.requires_grad_();
  Tensor y;
  if (reference) {
    y = norm->forward(x);
    if (c.residual) y = y + r;
    if (c.relu) y = y.relu();
  } else {
    y = batch_norm_act(*norm, x, c.residual ? r : Tensor(), c.relu);
  }
  y.backward(g.to(y.scalar_type()));
  const Tensor grad_r = c.residual ? r.grad() : torch::zeros({1});
  return {y.detach(), x.grad(), grad_r, norm->weight.grad(), norm->bias.grad(), norm->running_mean, norm->running_var};
}

Result run(const Case& c, bool reference) {
  return c.shape.size() == 5 ? run<torch::nn::BatchNorm3d>(c, reference) : run<torch::nn::BatchNorm2d>(c, reference);
}

double distance(const Tensor& a, const Tensor& b) {
  const Tensor expected = b.to(torch::kDouble);
  return ((a.to(torch::kDouble) - expected).norm() / (expected.norm() + 1e-12)).item<double>();
}

class FusedBatchNorm : public testing::TestWithParam<Case> {};

TEST_P(FusedBatchNorm, EqualsTheComposedOperators) {
  const Result fused = run(GetParam(), false), expected = run(GetParam(), true);
  // Relative, over the whole tensor: float32 rounding, or bfloat16's 8 bits of the stored values.
  const double tolerance = GetParam().type == torch::kFloat ? 1e-5 : 1e-2;
  EXPECT_LT(distance(fused.y, expected.y), tolerance);
  EXPECT_LT(distance(fused.grad_x, expected.grad_x), tolerance);
  EXPECT_LT(distance(fused.grad_residual, expected.grad_residual), tolerance);
  EXPECT_LT(distance(fused.grad_weight, expected.grad_weight), tolerance);
  EXPECT_LT(distance(fused.grad_bias, expected.grad_bias), tolerance);
  EXPECT_LT(distance(fused.mean, expected.mean), 1e-6);
  EXPECT_LT(distance(fused.variance, expected.variance), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(All, FusedBatchNorm,
                         testing::Values(Case{false, false, torch::kFloat}, Case{false, true, torch::kFloat},
                                         Case{true, false, torch::kFloat}, Case{true, true, torch::kFloat},
                                         Case{false, true, torch::kBFloat16}, Case{true, true, torch::kBFloat16},
                                         Case{false, true, torch::kFloat, {5, 24, 7, 2, 3}},
                                         Case{true, true, torch::kFloat, {5, 24, 7, 2, 3}}));

TEST(FusedBatchNormTest, DoesNotDependOnTheNumberOfThreads) {
  const Case c{true, true, torch::kFloat};
  const Result one = run(c, false);
  at::set_num_threads(2);
  const Result two = run(c, false);
  at::set_num_threads(1);
  EXPECT_LT(distance(two.grad_x, one.grad_x), 1e-6);
}

// The gradient of a junction is the sum over its two readers, in whatever combination they have one.
TEST(FusedBatchNormTest, AddsTheGradientsOfBothOutputs) {
  for (const auto type : {torch::kFloat, torch::kBFloat16}) {
    for (const bool residual : {true, false}) {
      for (const int used : {1, 2, 3}) {
        torch::manual_seed(4);
        torch::nn::BatchNorm2d norm(24);
        const Tensor x = channels_last(torch::randn({5, 24, 7, 6}).to(type)).requires_grad_();
        const Tensor r = channels_last(torch::randn({5, 24, 7, 6}).to(type)).requires_grad_();
        const Tensor a = torch::randn({5, 24, 7, 6}).to(type), b = torch::randn({5, 24, 7, 6}).to(type);
        const Tensor added = residual ? r : Tensor();
        const auto [main, other] = ivory::nn::batch_norm_relu_twice(*norm, x, added);
        ASSERT_TRUE(torch::equal(main, other));
        torch::autograd::variable_list outputs, gradients;
        if (used & 1) outputs.push_back(main), gradients.push_back(a);
        if (used & 2) outputs.push_back(other), gradients.push_back(b);
        torch::autograd::backward(outputs, gradients);
        const Tensor grad_x = x.grad().clone(), grad_weight = norm->weight.grad().clone();
        const Tensor grad_r = residual ? r.grad().clone() : Tensor();
        x.mutable_grad().reset();
        r.mutable_grad().reset();
        norm->zero_grad();
        const Tensor sum = used == 1 ? a : used == 2 ? b : a + b;
        batch_norm_act(*norm, x, added, true).backward(sum);
        EXPECT_TRUE(torch::equal(grad_x, x.grad())) << type << residual << used;
        EXPECT_TRUE(torch::equal(grad_weight, norm->weight.grad())) << type << residual << used;
        if (residual) EXPECT_TRUE(torch::equal(grad_r, r.grad())) << type << used;
      }
    }
  }
}

TEST(FusedBatchNormTest, EvalModeUsesRunningStatistics) {
  torch::nn::BatchNorm2d norm(3);
  norm->running_mean.fill_(2.0);
  norm->running_var.fill_(4.0);
  norm->eval();
  const Tensor y = batch_norm_act(*norm, torch::full({1, 3, 2, 2}, 6.0), Tensor(), true);
  EXPECT_NEAR(y.max().item<double>(), 2.0, 1e-5);  // (6 − 2) / 2
}

// Crops of two sizes go forward before the common backward; at 1 × 1 pixels a contiguous tensor is channels-last too.
TEST(FusedBatchNormTest, ComposedAndFusedForwardsMayShareABackward) {
  torch::nn::BatchNorm2d norm(3);
  const Tensor large = torch::randn({4, 3, 2, 2}), small = torch::randn({4, 3, 1, 1});
  ASSERT_FALSE(large.is_contiguous(torch::MemoryFormat::ChannelsLast));
  ASSERT_TRUE(small.is_contiguous(torch::MemoryFormat::ChannelsLast));
  const Tensor loss =
      batch_norm_act(*norm, large, Tensor(), true).sum() + batch_norm_act(*norm, small, Tensor(), true).sum();
  loss.backward();
  EXPECT_TRUE(norm->weight.grad().isfinite().all().item<bool>());
}

}  // namespace
