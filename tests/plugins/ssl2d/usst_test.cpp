#include "plugins/ssl2d/training.h"

namespace {

using namespace ivory::test;
using ivory::Objective;
using ivory::SampleKind;
using testing::HasSubstr;
using torch::Tensor;

Settings small() {
  return {{"outputs", int64_t{12}},
          {"head_width", int64_t{10}},
          {"bottleneck", int64_t{5}},
          {"momentum", 0.9},
          {"phase_epochs", int64_t{1}}};
}

// Both of a stage: Training has the one on slices, which owns what they share.
struct Both {
  Training slices;
  std::shared_ptr<Objective> volumes;

  explicit Both(const Settings& settings = small()) : slices("usst", settings) {
    volumes = make<Objective>("usst", settings,
                              {.on = SampleKind::volume, .width = small_width, .beside = {slices.objective}});
    for (auto& one : {slices.objective, volumes}) one->before_training(*slices.model, stage());
  }
};

ivory::Batch volume_batch(int64_t step) {
  ivory::Batch batch{.kind = SampleKind::volume, .views = {}, .index = torch::arange(8)};
  for (uint64_t v = 0; v < 2; ++v)
    batch.views.push_back({fill({8, 1, 3, 12, 12}, static_cast<uint64_t>(1000 + 10 * step) + v)});
  return batch;
}

TEST(Usst, FollowsItsReferenceThroughBothPhases) {
  const auto expected = golden("ssl2d_usst");
  Both both;
  for (int64_t step = 0; step < 5; ++step) {
    const auto at = stage(step, 1000, 8);
    EXPECT_EQ(both.slices.objective->takes_part(at), step < 3);
    EXPECT_EQ(both.volumes->takes_part(at), step >= 3);
    Objective& active = step < 3 ? *both.slices.objective : *both.volumes;
    for (auto& [name, p] : both.slices.trained()) p.mutable_grad().reset();
    for (auto& one : {both.slices.objective, both.volumes}) one->before_step(*both.slices.model, at);
    const auto loss =
        active.forward(*both.slices.model, step < 3 ? Training::batch(step, {12, 12}) : volume_batch(step))[0].second;
    EXPECT_NEAR(loss.item<double>(), expected["losses"][step].get<double>(), 1e-10) << step;
    loss.backward();
    for (auto& one : {both.slices.objective, both.volumes}) one->after_backward(*both.slices.model, at);
    auto after = at;
    both.slices.descend(at);
    ++after.step;
    both.volumes->after_step(*both.slices.model, after);
  }
  expect_all(both.slices.trained(), expected["trained"]);
  expect_all(twin_tensors(*both.slices.objective, {{"shared.teacher", ""}, {"shared.teacher_head", "shared.head."}}),
             expected["twin"]);
  expect_all({{"center", both.slices.objective->named_buffers()["shared.loss.center"]}}, expected["centre"]);
}

TEST(Usst, UniformOutputsCostFourTimesLnKOnVolumes) {
  Both both;
  {
    const torch::NoGradGuard no_grad;  // unit vectors of zeros: all outputs are 0
    for (auto& item : both.slices.objective->named_parameters()) {
      if (item.key().find("mlp.4") != std::string::npos) item.value().zero_();
    }
  }
  EXPECT_NEAR(both.volumes->forward(*both.slices.model, volume_batch(0))[0].second.item<double>(), 4 * std::log(12.0),
              1e-9);
  EXPECT_NEAR(both.volumes->chance_loss(), 4 * std::log(12.0), 1e-12);
  EXPECT_NEAR(make<Objective>("usst", {}, {.width = 4, .fresh_model = [] { return std::make_shared<SmallModel>(); }})
                  ->chance_loss(),
              11.090355, 1e-6);
}

TEST(Usst, TrainsOneHeadWhichTheOneOnSlicesHolds) {
  Both both;
  EXPECT_EQ(both.volumes->parameters().size(), 0U);
  EXPECT_EQ(both.volumes->buffers().size(), 0U);
  EXPECT_FALSE(both.slices.trained().empty());
}

TEST(Usst, PhasesAlternate) {
  Both both([] {
    auto settings = small();
    settings.back().second = int64_t{2};
    return settings;
  }());
  for (int64_t epoch = 0; epoch < 8; ++epoch) {
    auto at = stage();
    at.epoch = epoch;
    EXPECT_EQ(both.slices.objective->takes_part(at), epoch % 4 < 2);
    EXPECT_NE(both.slices.objective->takes_part(at), both.volumes->takes_part(at));
  }
}

TEST(Usst, HasTheNumericalGradientsOnVolumes) {
  auto settings = small();
  settings.emplace_back("centre_momentum", 1.0);
  Both both(settings);
  const auto batch = volume_batch(0);
  const auto loss = [&] { return both.volumes->forward(*both.slices.model, batch)[0].second; };
  for (const auto& [name, p] : both.slices.trained()) {
    if (name != "encoder.conv.bias") EXPECT_LT(gradient_error(loss, p, 8), 1e-4) << name;
  }
}

TEST(Usst, NeedsImagesAndVolumes) {
  Training alone("usst", small());
  EXPECT_THAT(bad_request_of([&] { alone.objective->before_training(*alone.model, stage()); }),
              HasSubstr("learns from images alone"));
  const auto volumes = make<Objective>(
      "usst", small(),
      {.on = SampleKind::volume, .width = small_width, .fresh_model = [] { return std::make_shared<SmallModel>(); }});
  EXPECT_THAT(bad_request_of([&] { volumes->before_training(*alone.model, stage()); }),
              HasSubstr("learns from volumes alone"));
  EXPECT_THAT(bad_request_of([&] {
                make<Objective>("usst", small(), {.on = SampleKind::volume, .width = 5, .beside = {alone.objective}});
              }),
              HasSubstr("6 and 5"));
}

}  // namespace
