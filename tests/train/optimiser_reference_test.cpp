// SGD, LARC and AdamW against the independent ones of tests/reference/optimisers.py; gradient clipping.
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/golden.h"
#include "train/optimiser.h"

namespace ivory::train {
namespace {

using test::fill;

const std::vector<std::vector<int64_t>> shapes = {{4, 3}, {3}, {2, 2, 3, 3}, {3}};

NamedTensors start(torch::Dtype dtype = torch::kDouble) {
  NamedTensors parameters;
  for (size_t p = 0; p < shapes.size(); ++p) {
    const auto value = p < 3 ? fill(shapes[p], p) : torch::zeros(shapes[p]);
    parameters.emplace_back("p" + std::to_string(p), value.to(dtype).requires_grad_());
  }
  return parameters;
}

torch::Tensor gradient(size_t step, size_t p) {
  if (step == 2 && p == 1) return torch::zeros(shapes[p], torch::kDouble);
  return fill(shapes[p], 100 + 10 * step + p, 0.5);
}

void train(Optimiser& optimiser, size_t from, size_t to) {
  const auto rates = test::golden("optimisers")["rates"].get<std::vector<double>>();
  for (size_t step = from; step < to; ++step) {
    for (size_t p = 0; p < shapes.size(); ++p) {
      const auto& parameter = optimiser.parameters()[p].second;
      parameter.mutable_grad() = gradient(step, p).to(parameter.scalar_type());
    }
    optimiser.step(rates[step]);
    optimiser.zero_grad();
  }
}

void expect_golden(const NamedTensors& parameters, const std::string& name, double tolerance) {
  const auto expected = test::golden("optimisers")[name].get<std::vector<std::vector<double>>>();
  ASSERT_EQ(expected.size(), parameters.size());
  for (size_t p = 0; p < expected.size(); ++p) {
    const auto error = parameters[p].second.detach().reshape({-1}) - torch::tensor(expected[p], torch::kDouble);
    EXPECT_LT(error.abs().max().item<double>(), tolerance) << name << ", parameter " << p;
  }
}

config::OptimiserSpec larc(double weight_decay) {
  return {.name = "sgd", .momentum = 0.9, .weight_decay = weight_decay, .larc = true, .trust = 0.001};
}

void expect_five_steps(const config::OptimiserSpec& spec, const std::string& name) {
  // A handful of operations per step: in double an error near 1e-16, in single precision near 1e-7, of values below 1.
  for (const auto& [dtype, tolerance] : {std::pair(torch::kDouble, 1e-12), std::pair(torch::kFloat, 1e-6)}) {
    const auto optimiser = make_optimiser(spec, start(dtype));
    train(*optimiser, 0, 5);
    expect_golden(optimiser->parameters(), name, tolerance);
  }
}

TEST(Optimiser, LarcIsThatOfTheReference) {
  expect_five_steps(larc(1e-6), "larc");
}

TEST(Optimiser, LarcWithAWeightDecayThatShows) {
  expect_five_steps(larc(0.1), "larc_decayed");
}

TEST(Optimiser, SgdIsTorchs) {
  expect_five_steps({.name = "sgd", .momentum = 0.9, .weight_decay = 0.01}, "sgd");
}

TEST(Optimiser, AdamWIsTorchs) {
  expect_five_steps({.name = "adamw", .weight_decay = 0.05, .betas = {0.8, 0.99}}, "adamw");
}

TEST(Optimiser, LarsIsThatOfTheReference) {
  expect_five_steps({.name = "lars", .momentum = 0.9, .weight_decay = 0.1}, "lars");
}

TEST(Optimiser, NesterovsMomentumIsTorchs) {
  expect_five_steps({.name = "sgd", .momentum = 0.9, .weight_decay = 0.01, .nesterov = true}, "nesterov");
}

// A group at half the rate and without weight decay, none of vectors, a weight decay from 0.4 to 0.1: torch's groups.
TEST(Optimiser, GroupsAndTheScheduleOfTheWeightDecayAreTorchs) {
  for (const char* name : {"sgd", "adamw"}) {
    const config::OptimiserSpec spec{.name = name,
                                     .momentum = 0.9,
                                     .weight_decay = 0.4,
                                     .final_weight_decay = 0.1,
                                     .decay_vectors = false,
                                     .groups = {{.names = {"p2"}, .lr_factor = 0.5, .decay_factor = 0}}};
    const auto optimiser = make_optimiser(spec, start());
    const auto rates = test::golden("optimisers")["rates"].get<std::vector<double>>();
    for (size_t step = 0; step < 5; ++step) {
      for (size_t p = 0; p < shapes.size(); ++p) optimiser->parameters()[p].second.mutable_grad() = gradient(step, p);
      optimiser->step(rates[step], weight_decay_at(spec, static_cast<int64_t>(step), 5));
    }
    expect_golden(optimiser->parameters(), std::string(name) + "_groups", 1e-12);
  }
}

TEST(Optimiser, NamesHaveStars) {
  EXPECT_TRUE(name_matches("model.*.bias", "model.encoder.conv.bias"));
  EXPECT_TRUE(name_matches("*", ""));
  EXPECT_TRUE(name_matches("*conv*", "model.conv1.weight"));
  EXPECT_TRUE(name_matches("a*b*c", "a.b.b.c"));
  EXPECT_FALSE(name_matches("a*b*c", "a.c.b"));
  EXPECT_FALSE(name_matches("model", "model.conv"));
  EXPECT_FALSE(name_matches("", "a"));
}

TEST(Optimiser, AGroupThatNamesNothingIsRefused) {
  const auto message = test::bad_request_of([] {
    make_optimiser({.name = "sgd", .groups = {{.names = {"p1", "decoder.*"}}}}, start());
  });
  EXPECT_EQ(message, "optimiser.groups: 'decoder.*' names no tensor that is trained; the first is 'p0'");
}

class OptimiserState : public testing::TestWithParam<config::OptimiserSpec> {};

TEST_P(OptimiserState, IsAllThatTrainingNeedsToGoOn) {
  const auto whole = make_optimiser(GetParam(), start());
  train(*whole, 0, 5);
  const auto first = make_optimiser(GetParam(), start());
  train(*first, 0, 3);
  const auto second = make_optimiser(GetParam(), start());
  const torch::NoGradGuard no_grad;
  for (size_t p = 0; p < shapes.size(); ++p) second->parameters()[p].second.copy_(first->parameters()[p].second);
  const auto from = first->state(), to = second->state();
  ASSERT_EQ(from.size(), to.size());
  for (size_t i = 0; i < to.size(); ++i) {
    EXPECT_EQ(from[i].first, to[i].first);
    to[i].second.copy_(from[i].second);
  }
  train(*second, 3, 5);
  for (size_t p = 0; p < shapes.size(); ++p) {
    EXPECT_TRUE(second->parameters()[p].second.equal(whole->parameters()[p].second)) << "parameter " << p;
  }
}

INSTANTIATE_TEST_SUITE_P(All, OptimiserState,
                         testing::Values(larc(1e-6), config::OptimiserSpec{.name = "sgd", .weight_decay = 0.01},
                                         config::OptimiserSpec{.name = "sgd", .nesterov = true},
                                         config::OptimiserSpec{.name = "lars", .weight_decay = 0.01},
                                         config::OptimiserSpec{.name = "adamw", .weight_decay = 0.05}));

TEST(Optimiser, AParameterWithoutAGradientStays) {
  for (const char* name : {"sgd", "adamw"}) {
    const auto optimiser = make_optimiser({.name = name, .weight_decay = 0.5}, start());
    train(*optimiser, 0, 1);  // momentum that would move it
    const auto& parameters = optimiser->parameters();
    const auto before = parameters[0].second.detach().clone(), other = parameters[1].second.detach().clone();
    parameters[1].second.mutable_grad() = gradient(1, 1);
    optimiser->step(0.1);
    EXPECT_TRUE(parameters[0].second.equal(before)) << name;
    EXPECT_FALSE(parameters[1].second.equal(other)) << name;
  }
}

TEST(Optimiser, AnUnknownOneIsRefused) {
  const auto message = test::bad_request_of([] { make_optimiser({.name = "lion"}, start()); });
  EXPECT_EQ(message, "optimiser 'lion' is unknown; known are: sgd, adamw, lars");
}

TEST(Clipping, ScalesTheJointNormToTheLimit) {
  const NamedTensors parameters = {{"a", torch::zeros({2}, torch::kDouble)}, {"b", torch::zeros({1}, torch::kDouble)}};
  const auto set = [&] {
    parameters[0].second.mutable_grad() = torch::tensor({3.0, 4.0}, torch::kDouble);
    parameters[1].second.mutable_grad() = torch::tensor({12.0}, torch::kDouble);
  };
  const auto expect = [&](double first, double second, double third) {
    EXPECT_DOUBLE_EQ(parameters[0].second.grad()[0].item<double>(), first);
    EXPECT_DOUBLE_EQ(parameters[0].second.grad()[1].item<double>(), second);
    EXPECT_DOUBLE_EQ(parameters[1].second.grad()[0].item<double>(), third);
  };
  set();
  EXPECT_DOUBLE_EQ(clip_gradients(parameters, 2), 13) << "the norm before";
  expect(6.0 / 13, 8.0 / 13, 24.0 / 13);
  set();
  EXPECT_DOUBLE_EQ(clip_gradients(parameters, 13.5), 13);
  expect(3, 4, 12);
}

// Which divides by the gradient's own norm: without weight decay nothing is left of the clipping.
TEST(Clipping, BeforeLarcChangesNothing) {
  const auto free = make_optimiser(larc(0), start()), clipped = make_optimiser(larc(0), start());
  for (size_t step = 0; step < 3; ++step) {
    for (Optimiser* one : {free.get(), clipped.get()}) {
      for (size_t p = 0; p < shapes.size(); ++p) one->parameters()[p].second.mutable_grad() = gradient(step, p);
      if (one == clipped.get()) EXPECT_GT(clip_gradients(one->parameters(), 0.1), 0.1);
      one->step(0.3);
    }
  }
  for (size_t p = 0; p < 3; ++p) {  // the last begins at 0, where LARC leaves the plain gradient
    EXPECT_TRUE(torch::allclose(free->parameters()[p].second, clipped->parameters()[p].second, 0, 1e-9)) << p;
  }
}

TEST(Clipping, OfEachTensorByItself) {
  const NamedTensors parameters = {{"a", torch::zeros({2}, torch::kDouble)}, {"b", torch::zeros({1}, torch::kDouble)}};
  parameters[0].second.mutable_grad() = torch::tensor({3.0, 4.0}, torch::kDouble);
  parameters[1].second.mutable_grad() = torch::tensor({1.5}, torch::kDouble);
  EXPECT_NEAR(clip_each_gradient(parameters, 2), std::hypot(5, 1.5), 1e-12) << "the joint norm before";
  EXPECT_NEAR(parameters[0].second.grad()[0].item<double>(), 1.2, 1e-6);
  EXPECT_NEAR(parameters[0].second.grad()[1].item<double>(), 1.6, 1e-6);
  EXPECT_EQ(parameters[1].second.grad()[0].item<double>(), 1.5);
}

TEST(Clipping, NothingToClip) {
  EXPECT_EQ(clip_gradients(start(), 1), 0);
}

}  // namespace
}  // namespace ivory::train
