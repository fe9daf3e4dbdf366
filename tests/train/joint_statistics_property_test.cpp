// Batch normalisation in several processes, joined by Gloo, is that of one process with the joint batch.
#include <gtest/gtest.h>
#include <ivory/nn/batch_norm.h>

#include "nn/joint_statistics.h"
#include "support/gloo_group.h"
#include "support/unit_rows.h"

namespace {

using ivory::Collective;
using ivory::nn::JointStatistics;
using ivory::test::fill;
using ivory::test::in_group;
using torch::Tensor;

// What a step of Σ over processes of loss_r leaves: the loss's own weighting makes every row count differently.
struct Step {
  Tensor y, input_gradient, weight_gradient, bias_gradient, running_mean, running_variance;
};

template <class Norm, class Forward>
Step step_of(Norm norm, const Tensor& input, const Tensor& weights, const Forward& forward) {
  norm->weight.data().copy_(fill({norm->weight.size(0)}, 3));
  const Tensor x = input.detach().clone().requires_grad_();
  const Tensor y = forward(*norm, x);
  (y.to(weights.scalar_type()) * weights).sum().backward();
  return {y.detach(),
          x.grad(),
          norm->weight.grad(),
          norm->bias.grad(),
          norm->running_mean.clone(),
          norm->running_var.clone()};
}

// Rows [first, first + count) of process r: parts of different sizes.
std::vector<std::pair<int64_t, int64_t>> parts(int64_t rows, int64_t world) {
  std::vector<std::pair<int64_t, int64_t>> made;
  for (int64_t r = 0, first = 0; r < world; ++r) {
    const int64_t count = r + 1 < world ? rows / world - (r % 2) : rows - first;
    made.emplace_back(first, count);
    first += count;
  }
  return made;
}

template <class MakeNorm, class Forward>
void expect_the_joint_step(const Tensor& input, const Tensor& weights, const MakeNorm& make, const Forward& forward,
                           double tolerance) {
  const Step joint = step_of(make(), input, weights, forward);
  for (const int64_t world : {2, 4}) {
    const auto shares = parts(input.size(0), world);
    std::vector<Step> steps(world);
    in_group(world, [&](const Collective& group) {
      const auto [first, count] = shares[group.rank()];
      // A narrowed channels-last tensor of one row could be of another format: as a loader hands it out.
      const Tensor mine = input.narrow(0, first, count).clone(input.suggest_memory_format());
      const JointStatistics together(group);
      steps[group.rank()] = step_of(make(), mine, weights.narrow(0, first, count), forward);
    });
    std::vector<Tensor> y, gradients;
    Tensor weight_gradient = torch::zeros_like(joint.weight_gradient), bias_gradient = weight_gradient.clone();
    for (const Step& one : steps) {
      y.push_back(one.y);
      gradients.push_back(one.input_gradient);
      weight_gradient += one.weight_gradient;
      bias_gradient += one.bias_gradient;
      EXPECT_TRUE(torch::allclose(one.running_mean, joint.running_mean, 0, tolerance));
      EXPECT_TRUE(torch::allclose(one.running_variance, joint.running_variance, 0, tolerance));
      EXPECT_TRUE(torch::equal(one.running_mean, steps[0].running_mean)) << "the processes drift apart";
    }
    const auto near = [&](const Tensor& left, const Tensor& right) {
      return (left - right).abs().max().item<double>() <= tolerance * std::max(1.0, right.abs().max().item<double>());
    };
    EXPECT_TRUE(near(torch::cat(y), joint.y)) << world;
    EXPECT_TRUE(near(torch::cat(gradients), joint.input_gradient)) << world;
    EXPECT_TRUE(near(weight_gradient, joint.weight_gradient)) << world;
    EXPECT_TRUE(near(bias_gradient, joint.bias_gradient)) << world;
    // The trap: statistics of a part by itself are others.
    EXPECT_FALSE(near(step_of(make(), input.narrow(0, 0, shares[0].second).clone(input.suggest_memory_format()),
                              weights.narrow(0, 0, shares[0].second), forward)
                          .y,
                      joint.y.narrow(0, 0, shares[0].second)));
  }
}

TEST(JointStatistics, ABatchNorm1dOfAHeadIsThatOfTheJointBatch) {
  expect_the_joint_step(
      fill({12, 5}, 1), fill({12, 5}, 2),
      [] {
        torch::nn::BatchNorm1d norm(5);
        norm->to(torch::kDouble);
        return norm;
      },
      [](torch::nn::BatchNorm1dImpl& norm, const Tensor& x) { return norm.forward(x); }, 1e-12);
}

// 32-bit: sums over 12 · 36 values, in another order, of numbers near 1.
constexpr double float_tolerance = 2e-5;

TEST(JointStatistics, TheFusedBatchNorm2dIsThatOfTheJointBatch) {
  const auto channels_last = torch::MemoryFormat::ChannelsLast;
  expect_the_joint_step(
      fill({12, 5, 6, 6}, 1).to(torch::kFloat).contiguous(channels_last), fill({12, 5, 6, 6}, 2).to(torch::kFloat),
      [] { return torch::nn::BatchNorm2d(5); },
      [](torch::nn::BatchNorm2dImpl& norm, const Tensor& x) {
        return ivory::nn::batch_norm_act(norm, x, {}, /*relu=*/true);
      },
      float_tolerance);
}

TEST(JointStatistics, TheFusedBatchNorm2dWithAResidualIsThatOfTheJointBatch) {
  const auto channels_last = torch::MemoryFormat::ChannelsLast;
  expect_the_joint_step(
      fill({12, 5, 6, 6}, 1).to(torch::kFloat).contiguous(channels_last), fill({12, 5, 6, 6}, 2).to(torch::kFloat),
      [] { return torch::nn::BatchNorm2d(5); },
      [](torch::nn::BatchNorm2dImpl& norm, const Tensor& x) {
        const auto [y, same] = ivory::nn::batch_norm_relu_twice(norm, x, x.detach());
        return y + same;
      },
      float_tolerance);
}

TEST(JointStatistics, OutsideAndInEvaluationModeNothingIsJoined) {
  const Tensor x = fill({6, 4}, 1);
  torch::nn::BatchNorm1d norm(4);
  norm->to(torch::kDouble);
  norm->eval();
  const Tensor expected = norm->forward(x);
  in_group(2, [&](const Collective& group) {
    const JointStatistics together(group);
    EXPECT_EQ(ivory::nn::statistics_group(), &group);
    if (group.rank() == 0) {
      EXPECT_TRUE(torch::equal(norm->forward(x), expected));  // by itself: a joined one would wait
    }
  });
  EXPECT_EQ(ivory::nn::statistics_group(), nullptr);
  const Collective one;
  const JointStatistics alone(one);
  EXPECT_EQ(ivory::nn::statistics_group(), nullptr);
}

}  // namespace
