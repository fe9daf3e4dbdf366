#include "plugins/ssl2d/crops.h"

namespace {

using namespace ivory::test;
using ivory::Objective;
using testing::HasSubstr;
using torch::Tensor;

Settings small(int64_t grid = 3) {
  return {{"head_width", int64_t{10}}, {"embedding_width", int64_t{5}}, {"grid", grid}, {"momentum", 0.9}};
}

// A model whose map is the image's two halves of columns, as two channels: [N, 1, S, 2S] → [N, 2, S, S].
class GivenMap : public ivory::Model {
 public:
  int64_t width(ivory::SampleKind) const override { return 2; }
  ivory::Features embed(const Tensor& images) override {
    const auto halves = images.chunk(2, 3);
    return {.levels = {torch::cat({halves[0], halves[1]}, 1)}, .pooled = images.flatten(1).narrow(1, 0, 2)};
  }
  std::shared_ptr<ivory::Backbone> encoder(ivory::SampleKind) const override { return nullptr; }
};

// Every position of the first view has the feature (3, 4), of the second (4, 3): 2 − 2 · 24 / 25.
TEST(Pgl2d, HasItsClosedForm) {
  GivenMap model;
  const auto pgl = make<Objective>("pgl-2d", {{"head_width", int64_t{4}}, {"embedding_width", int64_t{2}}},
                                   {.width = 2, .fresh_model = [] { return std::make_shared<GivenMap>(); }});
  pgl->to(torch::kDouble);
  pass_through(*pgl, "projector");
  pass_through(*pgl, "predictor");
  pgl->before_training(model, stage());
  pgl->eval();
  const auto image = [](double left, double right) {
    return torch::cat(
        {torch::full({2, 1, 4, 4}, left, torch::kDouble), torch::full({2, 1, 4, 4}, right, torch::kDouble)}, 3);
  };
  const auto place = torch::tensor({{{1.0, 0.0, 0.0}, {0.0, 1.0, 0.0}}}, torch::kDouble).expand({2, 2, 3});
  ivory::Batch batch{.views = {{image(3, 4), place}, {image(4, 3), place}}, .index = torch::arange(2)};
  EXPECT_NEAR(pgl->forward(model, batch)[0].second.item<double>(), 0.08, 1e-12);
  batch.views[1] = batch.views[0];
  EXPECT_NEAR(pgl->forward(model, batch)[0].second.item<double>(), 0, 1e-12) << "equal views";
}

// Two crops of one picture, where a backbone would see the same: they agree at every shared place.
TEST(Pgl2d, ComparesTheSamePlaces) {
  GivenMap model;
  const auto pgl = make<Objective>("pgl-2d", {{"head_width", int64_t{4}}, {"embedding_width", int64_t{2}}},
                                   {.width = 2, .fresh_model = [] { return std::make_shared<GivenMap>(); }});
  pgl->to(torch::kDouble);
  pass_through(*pgl, "projector");
  pass_through(*pgl, "predictor");
  pgl->before_training(model, stage());
  pgl->eval();
  // Channels 1 + row and 1 + column of the slice: linear, so that sampling between pixels is exact. The images are
  // as wide as two maps; their places are those of a map twice as wide in pixels, half as wide in steps.
  const auto view = [](double first_row, double first_column, double scale, bool mirrored) {
    const auto step = mirrored ? -scale : scale;
    const auto rows = (1 + first_row + scale * torch::arange(8, torch::kDouble)).view({8, 1}).expand({8, 8});
    const auto columns = (1 + first_column + step * torch::arange(8, torch::kDouble)).view({1, 8}).expand({8, 8});
    const auto place =
        torch::tensor({{{scale, 0.0, first_row}, {0.0, step / 2, first_column - step / 4}}}, torch::kDouble);
    return ivory::View{torch::cat({rows, columns}, 1).unsqueeze(0).unsqueeze(0), place};
  };
  const ivory::Batch batch{.views = {view(10, 20, 1.5, false), view(13, 33, 1.25, true)}, .index = torch::arange(1)};
  // Positions lie within the centres of both maps' outer cells but for a border of half a cell, which is clamped there:
  // the grid of one position is its middle.
  const auto one =
      make<Objective>("pgl-2d", {{"head_width", int64_t{4}}, {"embedding_width", int64_t{2}}, {"grid", int64_t{1}}},
                      {.width = 2, .fresh_model = [] { return std::make_shared<GivenMap>(); }});
  one->to(torch::kDouble);
  pass_through(*one, "projector");
  pass_through(*one, "predictor");
  one->before_training(model, stage());
  one->eval();
  EXPECT_NEAR(one->forward(model, batch)[0].second.item<double>(), 0, 1e-12);
  EXPECT_LT(pgl->forward(model, batch)[0].second.item<double>(), 1e-4);
}

TEST(Pgl2d, PairsWithoutASharedRegionAreLeftOut) {
  Training training("pgl-2d", small());
  training.objective->before_training(*training.model, stage());
  auto batch = crops(0, 12);
  training.objective->forward(*training.model, batch);
  EXPECT_NEAR(measured(training.objective->measures(), "overlap"), 7.0 / 8, 1e-12);
  batch.views[1].place = batch.views[1].place + 1e6;
  const auto loss = training.objective->forward(*training.model, batch)[0].second;
  EXPECT_EQ(loss.item<double>(), 0) << "no pair at all";
  loss.backward();
}

TEST(Pgl2d, HasTheNumericalGradients) {
  Training training("pgl-2d", small());
  expect_numerical_gradients(training, crops(0, 12));
}

TEST(Pgl2d, SeveralProcessesHaveTheGradientsOfOne) {
  expect_same_gradients([] { return std::make_unique<Training>("pgl-2d", small()); },
                        [](int64_t first, int64_t count) { return crops(0, 12, first, count); });
}

TEST(Pgl2d, FollowsItsReference) {
  Training training("pgl-2d", small());
  expect_training(training, "pgl_2d", [](int64_t step) { return crops(step, 12); },
                  {{"target_model", ""}, {"target_projector", "projector."}});
}

TEST(Pgl2d, SaysWhatDoesNotFit) {
  EXPECT_THAT(bad_request_of([] {
                make<Objective>("pgl-2d", {{"momentum", -0.5}},
                                {.width = 4, .fresh_model = [] { return std::make_shared<SmallModel>(); }});
              }),
              HasSubstr("momentum"));
  Training training("pgl-2d", small());
  training.objective->before_training(*training.model, stage());
  EXPECT_THAT(bad_request_of([&] {
                training.step(Training::batch(0, {12, 12}), stage());
              }),
              HasSubstr("where its views were cut"));
}

}  // namespace
