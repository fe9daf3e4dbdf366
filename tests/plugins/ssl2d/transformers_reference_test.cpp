#include "plugins/ssl2d/filled_transformer.h"

namespace {

using namespace ivory::test;
using ivory::Backbone;

constexpr double exact = 1e-9;  // double precision through a dozen layers

TEST(VitReference, FollowsTimm) {
  auto net = make<Backbone>("vit", {{"size", std::string("tiny")}, {"image_size", int64_t{64}}}, {});
  const auto expected = golden("vit");
  expect_shapes(*net, expected.at("shapes"));
  net->to(torch::kDouble);
  fill_transformer(*net);
  expect_forward_and_backward(*net, fill({2, 1, 64, 64}, 7), expected, exact);
}

TEST(VitReference, FollowsTimmInSinglePrecision) {
  auto net = make<Backbone>("vit", {{"size", std::string("tiny")}, {"image_size", int64_t{64}}}, {});
  fill_transformer(*net);
  expect_features(all_features(*net, fill({2, 1, 64, 64}, 7).to(torch::kFloat)), golden("vit").at("features"), 1e-5,
                  "fp32");
}

class PtuReference : public testing::Test {
 protected:
  PtuReference() {
    net = make<Backbone>(
        "ptu",
        {{"size", std::string("tiny")}, {"image_size", int64_t{64}}, {"volume_size", std::vector<int64_t>{16, 64, 64}}},
        {});
    net->to(torch::kDouble);
    fill_transformer(*net);
  }
  std::shared_ptr<Backbone> net;
};

TEST_F(PtuReference, HasTheNamesAndShapesOfTheReleasedWeights) {
  expect_shapes(*net, golden("ptu").at("shapes"));
}

TEST_F(PtuReference, OfImages) {
  expect_forward_and_backward(*net, fill({2, 1, 64, 64}, 7), golden("ptu").at("image"), exact);
}

TEST_F(PtuReference, OfImagesOfAnotherSize) {
  expect_forward_and_backward(*net, fill({1, 1, 96, 128}, 7), golden("ptu").at("larger_image"), exact);
}

TEST_F(PtuReference, OfVolumes) {
  expect_forward_and_backward(*net, fill({1, 1, 16, 64, 64}, 7), golden("ptu").at("volume"), exact);
}

TEST_F(PtuReference, InSinglePrecision) {
  net->to(torch::kFloat);
  expect_features(all_features(*net, fill({2, 1, 64, 64}, 7).to(torch::kFloat)),
                  golden("ptu").at("image").at("features"), 1e-4, "fp32");
}

}  // namespace
