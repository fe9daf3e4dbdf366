#include "plugins/networks3d/whole_network.h"

namespace {

using ivory::SampleKind;

// networks_tasks.md §1.7.
TEST(DenseVNet, ParameterCounts) {
  EXPECT_EQ(ivory::test::whole_count("dense-v-net", 2), 866'978);
  EXPECT_EQ(ivory::test::whole_count("dense-v-net", 9), 878'514);
}

std::shared_ptr<ivory::nn::OwnDecoder> network() {
  torch::manual_seed(1);
  const auto model = ivory::test::own_decoder("dense-v-net");
  model->eval();
  return model;
}

// The 25th channel of the first level is the volume, averaged over the voxels that are there: a constant stays constant
// up to its border.
TEST(DenseVNet, AveragingDoesNotCountPadding) {
  const torch::NoGradGuard no_grad;
  const auto image = network()->embed(torch::full({1, 1, 16, 8, 8}, 3.0F)).levels[0].select(1, 24);
  EXPECT_TRUE(torch::allclose(image, torch::full_like(image, 3 / std::sqrt(1 + 1e-5F))));
}

// TensorFlow 1: voxel 2i is voxel i of the smaller map, voxel 2i + 1 lies between two; the last one is repeated.
TEST(DenseVNet, LogitsAreEnlargedWithoutHalfVoxels) {
  const torch::NoGradGuard no_grad;
  const auto model = network();
  const auto head = model->head(1);
  const auto features = model->embed(torch::rand({1, 1, 16, 16, 16}));
  const auto large = model->logits(features, *head);
  const auto even = large.slice(2, 0, 16, 2), odd = large.slice(2, 1, 16, 2);
  EXPECT_TRUE(torch::allclose(odd.slice(2, 0, 7), (even.slice(2, 0, 7) + even.slice(2, 1, 8)) / 2, 1e-4, 1e-5));
  EXPECT_TRUE(torch::equal(odd.select(2, 7), even.select(2, 7)));
}

TEST(DenseVNet, DropoutBelongsToTraining) {
  const torch::NoGradGuard no_grad;
  const auto model = network();
  const auto volume = torch::rand({2, 1, 16, 16, 16});
  EXPECT_TRUE(torch::equal(model->embed(volume).pooled, model->embed(volume).pooled));
  model->train();
  EXPECT_FALSE(torch::equal(model->embed(volume).pooled, model->embed(volume).pooled));
}

}  // namespace
