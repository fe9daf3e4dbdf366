#include <ivory/nn/ema_twin.h>
#include <ivory/nn/self_distillation.h>

#include "plugins/ssl2d/training.h"

namespace {

using namespace ivory::test;
using ivory::Objective;
using testing::HasSubstr;
using torch::Tensor;

// Of outputs [K] per view of one sample; the centre stays.
double loss(const Tensor& centre, const std::vector<Tensor>& teacher, const std::vector<Tensor>& student,
            double temperature = 0.04) {
  ivory::nn::DistillationLoss of(
      ivory::nn::DistillationSpec{.outputs = centre.size(0), .teacher_temperature = temperature, .centre_momentum = 1});
  of->to(torch::kDouble);
  of->centre.copy_(centre.unsqueeze(0));
  const auto rows = [](const std::vector<Tensor>& all) {
    std::vector<Tensor> unsqueezed;
    for (const auto& one : all) unsqueezed.push_back(one.unsqueeze(0));
    return unsqueezed;
  };
  return of->forward(rows(student), rows(teacher)).item<double>();
}

Tensor logits(const std::vector<double>& values) {
  return torch::tensor(values, torch::kDouble);
}

Settings small() {
  return {{"outputs", int64_t{12}}, {"head_width", int64_t{10}}, {"bottleneck", int64_t{5}}, {"momentum", 0.9}};
}

TEST(Dino, HasItsClosedForms) {
  const auto constant = torch::zeros({65536}, torch::kDouble);
  EXPECT_NEAR(loss(constant, {constant, constant}, {constant, constant}), 11.090355, 1e-6) << "ln K";
  const auto zeros = logits({0, 0, 0}), one = logits({1, 0, 0});
  EXPECT_NEAR(loss(zeros, {zeros, zeros}, {one, one}), 6.666757, 1e-6);
  const auto centre = logits({0.05, 0, -0.05});
  const std::vector<Tensor> teacher = {logits({0.1, 0.2, 0.3}), logits({0.3, 0.1, 0})},
                            student = {logits({0.2, 0.1, 0}), logits({0, 0.1, 0.4})};
  EXPECT_NEAR(loss(centre, teacher, student), 0.290226, 1e-6);
  EXPECT_NEAR(loss(centre, {teacher[0] + 3, teacher[1] - 2}, {student[0] + 1, student[1] + 5}), 0.290226, 1e-6)
      << "a constant on all outputs changes nothing";
}

TEST(Dino, TheCentreMovesTowardsTheMeanOfTheTeacher) {
  ivory::nn::DistillationLoss of(ivory::nn::DistillationSpec{.outputs = 3});
  of->to(torch::kDouble);
  const auto a = logits({{1, 2, 3}}).unsqueeze(0), b = logits({{3, 0, 1}}).unsqueeze(0);
  of->forward({a, b}, {a, b});
  EXPECT_TRUE(torch::allclose(of->centre, 0.1 * (a + b) / 2));
  of->eval();
  const Tensor before = of->centre.clone();
  of->forward({a, b}, {a, b});
  EXPECT_TRUE(torch::equal(of->centre, before));
}

TEST(Dino, MomentumIsACosine) {
  ivory::Options options(descriptor<Objective>("dino").options);
  EXPECT_NEAR(ivory::nn::MomentumSchedule(options).at(50, 100), 0.998, 1e-12);
}

TEST(Dino, TheLastLayerIsFrozenInTheFirstEpoch) {
  Training training("dino", small());
  training.objective->before_training(*training.model, stage());
  for (const int64_t step : {0, 2, 3}) {
    training.step(Training::batch(step, {12, 12, 8}), stage(step));
    EXPECT_EQ(training.trained().at("head.last_layer.weight_v").grad().defined(), step >= 3) << step;
    EXPECT_TRUE(training.trained().at("head.mlp.0.weight").grad().defined());
  }
}

TEST(Dino, HasTheNumericalGradients) {
  auto settings = small();
  settings.emplace_back("centre_momentum", 1.0);
  Training training("dino", settings);
  expect_numerical_gradients(training, Training::batch(0, {12, 12, 8}));
}

TEST(Dino, SeveralProcessesHaveTheGradientsOfOne) {
  auto settings = small();
  settings.emplace_back("freeze_last_layer", int64_t{0});
  expect_same_gradients([&] { return std::make_unique<Training>("dino", settings); }, {12, 12, 8});
}

TEST(Dino, HasThePublishedHead) {
  const ivory::nn::DistillationHead head(48, ivory::nn::DistillationSpec{});
  int64_t trained = 0, fixed = 0;
  for (const auto& p : head->parameters()) (p.requires_grad() ? trained : fixed) += p.numel();
  EXPECT_EQ(trained, 21598464);
  EXPECT_EQ(fixed, 65536);
}

TEST(Dino, SaysWhenAllSamplesGetOneCode) {
  ivory::nn::DistillationLoss of(ivory::nn::DistillationSpec{.outputs = 3});
  of->to(torch::kDouble);
  const auto sure = logits({{9, 0, 0}}).unsqueeze(0).expand({4, 3});
  of->forward({sure, sure}, {sure, sure});
  const auto spread = measure(of->measures(), "code_spread");
  EXPECT_LT(spread.value, spread.low.value_or(0));
  EXPECT_THAT(spread.if_low, HasSubstr("collapsed"));
}

TEST(Dino, SaysWhatDoesNotFit) {
  const auto message = [](const Settings& settings, int64_t views) {
    return bad_request_of([&] {
      make<Objective>("dino", settings, {.width = 4, .views = views, .batch_size = 8, .fresh_model = [] {
                                           return std::make_shared<SmallModel>();
                                         }});
    });
  };
  EXPECT_THAT(message({{"outputs", int64_t{1} << 40}}, 2), HasSubstr("would take 5.24288e+06 GiB"));
  EXPECT_THAT(message({}, 1), HasSubstr("needs 2 global crops"));
  EXPECT_THAT(message({{"momentum", 1.01}}, 2), HasSubstr("momentum"));
  EXPECT_THAT(message({{"centre_momentum", -1.0}}, 2), HasSubstr("centre_momentum"));
  Training training("dino", small());
  EXPECT_THAT(bad_request_of([&] {
                training.step(Training::batch(0, {12, 8, 8}), stage());
              }),
              HasSubstr("2 global crops before the local ones"));
  EXPECT_THAT(bad_request_of([&] {
                training.step(Training::batch(0, {8, 8, 12}), stage());
              }),
              HasSubstr("2 global crops before the local ones"));
}

TEST(Dino, ATeacherOfAnotherWidthIsRefused) {
  ivory::nn::EmaTwin twin(std::make_shared<torch::nn::LinearImpl>(3, 4));
  EXPECT_THAT(bad_request_of([&] { twin.start(torch::nn::LinearImpl(3, 5)); }),
              HasSubstr("its tensor 'weight' is [4, 3] and that of the network [5, 3]"));
}

}  // namespace
