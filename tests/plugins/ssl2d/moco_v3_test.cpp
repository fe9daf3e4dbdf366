#include "plugins/ssl2d/training.h"

namespace {

using namespace ivory::test;
using ivory::Objective;
using testing::HasSubstr;
using torch::Tensor;

// q1 = k1 = first, q2 = k2 = second.
double loss(const Tensor& first, const Tensor& second, double temperature) {
  Given given("moco-v3", {{"temperature", temperature}}, first.size(1), {"projector", "predictor"});
  return given.loss({first, second});
}

Settings small(const std::string& heads = "vit") {
  return {{"head_width", int64_t{10}}, {"embedding_width", int64_t{5}}, {"momentum", 0.9}, {"heads", heads}};
}

TEST(MoCoV3, HasItsClosedForms) {
  EXPECT_NEAR(loss(rows_a(), rows_b(), 1), 2.294889, 1e-6);
  EXPECT_NEAR(loss(rows_a(), rows_b(), 0.2), 0.475700, 1e-6);
  const auto one = torch::eye(2, torch::kDouble);
  EXPECT_NEAR(loss(one, one, 1), 1.253047, 1e-6);
  const auto equal = torch::ones({1024, 2}, torch::kDouble);
  EXPECT_NEAR(loss(equal, equal, 0.2), 5.545177, 1e-6) << "4τ ln N";
  const auto zeros = torch::zeros({4, 2}, torch::kDouble);
  EXPECT_NEAR(loss(zeros, zeros, 0.2), 0.8 * std::log(4.0), 1e-12);
}

TEST(MoCoV3, IsSymmetricInItsViewsAndDoesNotSeeLength) {
  const double expected = loss(rows_a(), rows_b(), 0.2);
  EXPECT_NEAR(loss(rows_b(), rows_a(), 0.2), expected, 1e-12);
  EXPECT_NEAR(loss(5 * rows_a(), 0.1 * rows_b(), 0.2), expected, 1e-9);
}

TEST(MoCoV3, HasTheNumericalGradients) {
  for (const char* heads : {"vit", "resnet"}) {
    SCOPED_TRACE(heads);
    Training training("moco-v3", small(heads));
    expect_numerical_gradients(training, Training::batch(0, {12, 12}));
  }
}

TEST(MoCoV3, SeveralProcessesHaveTheGradientsOfOne) {
  expect_same_gradients([] { return std::make_unique<Training>("moco-v3", small()); }, {12, 12});
}

TEST(MoCoV3, HasThePublishedHeads) {
  const auto counts = [](int64_t width, const std::string& heads) {
    const auto made =
        make<Objective>("moco-v3", {{"heads", heads}},
                        {.width = width, .fresh_model = [] { return std::make_shared<GivenFeatures>(1); }});
    int64_t projector = 0, predictor = 0;
    for (const auto& item : made->named_parameters()) {
      if (item.key().starts_with("projector")) projector += item.value().numel();
      if (item.key().starts_with("predictor")) predictor += item.value().numel();
    }
    return std::pair(projector, predictor);
  };
  EXPECT_EQ(counts(48, "vit"), std::pair(int64_t{18038784}, int64_t{2105344}));
  EXPECT_EQ(counts(2048, "resnet"), std::pair(int64_t{9445376}, int64_t{2105344}));
}

TEST(MoCoV3, SaysWhatDoesNotFit) {
  const auto message = [](const Settings& settings, int64_t views, int64_t batch) {
    return bad_request_of([&] {
      make<Objective>("moco-v3", settings, {.width = 4, .views = views, .batch_size = batch, .fresh_model = [] {
                                              return std::make_shared<SmallModel>();
                                            }});
    });
  };
  EXPECT_THAT(message({{"momentum", 2.0}}, 2, 8), HasSubstr("momentum"));
  EXPECT_THAT(message({}, 2, 1), HasSubstr("got a batch of 1"));
  EXPECT_THAT(message({}, 10, 8), HasSubstr("got 10"));
}

}  // namespace
