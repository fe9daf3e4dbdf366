#include <gtest/gtest.h>

#include <numbers>

#include "data/labelled_slice.h"
#include "data/loader_fixtures.h"

namespace ivory::data {
namespace {

using namespace testing;
using torch::Tensor;

class TaskLoader : public ::testing::Test {
 protected:
  void store(const std::vector<VolumeData>& volumes) {
    write_cache(folder_.path(), volumes);
    data_ = open_data_set(folder_.path());
  }
  // Image in [0, 1] and mask.
  std::pair<Tensor, Tensor> rendered(int64_t slice, const std::vector<std::vector<int64_t>>& classes,
                                     const SliceAugmentation& augmentation, int64_t size) const {
    Tensor image = torch::empty({size, size}), mask = torch::empty({size, size}, torch::kInt64);
    render_labelled_slice(*data_, 0, slice, ClassTable(classes), augmentation, size, image.data_ptr<float>(),
                          mask.data_ptr<int64_t>());
    return {image * normal_deviation + normal_mean, mask};
  }

  TemporaryFolder folder_;
  std::shared_ptr<const DataSet> data_;
};

// Ids 1, 2 and 3 as squares whose grey values are their ids / 4.
VolumeData squares() {
  VolumeData volume = make_volume("a", {1, 40, 40});
  volume.labels.zero_();
  volume.labels[0].slice(0, 6, 16).slice(1, 6, 16) = 1;
  volume.labels[0].slice(0, 6, 16).slice(1, 24, 34) = 2;
  volume.labels[0].slice(0, 22, 36).slice(1, 10, 20) = 3;
  volume.pixels = (volume.labels * 500).to(torch::kInt16);  // of a window of 2000
  return volume;
}

TEST_F(TaskLoader, UnchangedASliceAndItsMaskAreResizedOnly) {
  const VolumeData volume = make_volume("a", {3, 20, 30});
  store({volume});
  const auto [image, mask] = rendered(1, {{3}, {1, 2}}, {}, 10);
  const Tensor expected =
      at::_upsample_bilinear2d_aa(expected_pixels(volume)[1].view({1, 1, 20, 30}), {10, 10}, false)[0][0];
  EXPECT_TRUE(torch::allclose(image, expected, 0, 1e-5));
  const Tensor labels = volume.labels[1].to(torch::kInt64);
  const Tensor classes = (labels == 3).to(torch::kInt64) + 2 * ((labels == 1) | (labels == 2)).to(torch::kInt64);
  const Tensor rows = torch::arange(10) * 2 + 1, columns = torch::arange(10) * 3 + 1;  // the voxel at the centre
  EXPECT_TRUE(torch::equal(mask, classes.index_select(0, rows).index_select(1, columns)));
}

TEST_F(TaskLoader, AFlipMovesSliceAndMaskAlike) {
  store({squares()});
  const auto [image, mask] = rendered(0, {{1}, {2}, {3}}, {}, 40);
  const auto [flipped, flipped_mask] = rendered(0, {{1}, {2}, {3}}, {.flip = true}, 40);
  EXPECT_TRUE(torch::allclose(flipped, image.flip(1), 0, 1e-5));
  EXPECT_TRUE(torch::equal(flipped_mask, mask.flip(1)));
}

TEST_F(TaskLoader, AQuarterTurnMovesSliceAndMaskAlike) {
  store({squares()});
  const auto [image, mask] = rendered(0, {{1}, {2}, {3}}, {}, 40);
  // Square pixels in mm: the fixture's are 0.7 × 0.8 mm, so that a quarter turn also stretches by 8/7.
  const double stretch = 0.8 / 0.7;
  const auto [turned, turned_mask] = rendered(0, {{1}, {2}, {3}}, {.rotation = std::numbers::pi / 2}, 40);
  int64_t compared = 0;
  for (int64_t row = 0; row < 40; ++row)
    for (int64_t column = 0; column < 40; ++column) {
      const double y = 19.5 - (static_cast<double>(column) - 19.5) * stretch;
      const double x = 19.5 + (static_cast<double>(row) - 19.5) / stretch;
      const auto from_row = static_cast<int64_t>(std::floor(y + 0.5)), from = static_cast<int64_t>(std::floor(x + 0.5));
      if (std::abs(y + 0.5 - std::round(y + 0.5)) < 1e-6 || std::abs(x + 0.5 - std::round(x + 0.5)) < 1e-6) continue;
      if (from_row < 0 || from_row > 39) continue;
      EXPECT_EQ(turned_mask[row][column].item<int64_t>(), mask[from_row][from].item<int64_t>()) << row << " " << column;
      ++compared;
    }
  EXPECT_GT(compared, 1000);
}

TEST_F(TaskLoader, MasksStayOnTheirStructuresUnderEveryAugmentation) {
  store({squares()});
  CounterRandom random(1, 2, 3, 4);
  for (int trial = 0; trial < 50; ++trial) {
    SliceAugmentation augmentation = draw_augmentation(random);
    augmentation.tone = {};
    const auto [image, mask] = rendered(0, {{1}, {2}, {3}}, augmentation, 80);
    const Tensor shown = (image * 4).round().to(torch::kInt64);
    // Away from the rims, where grey values are mixed (one pixel of the slice is two of the output).
    const Tensor planes = mask.to(torch::kFloat32).unsqueeze(0);
    const Tensor inside = torch::max_pool2d(planes, 5, 1, 2)[0] == -torch::max_pool2d(-planes, 5, 1, 2)[0];
    EXPECT_GT(inside.sum().item<int64_t>(), 4500);
    EXPECT_TRUE(torch::equal(shown.masked_select(inside), mask.masked_select(inside))) << "trial " << trial;
    for (int64_t id = 1; id <= 3; ++id) EXPECT_GT((mask == id).sum().item<int64_t>(), 200);
  }
}

TEST(TaskLoaderAugmentations, AreDrawnInTheirRanges) {
  CounterRandom random(5, 6, 7, 8);
  constexpr int draws = 2000;
  double flips = 0, angle = 0, most = 0, least = 2;
  for (int i = 0; i < draws; ++i) {
    const SliceAugmentation drawn = draw_augmentation(random);
    flips += drawn.flip;
    angle = std::max(angle, std::abs(drawn.rotation) * 180 / std::numbers::pi);
    most = std::max(most, drawn.scale);
    least = std::min(least, drawn.scale);
  }
  EXPECT_NEAR(flips / draws, 0.5, 0.05);  // four standard deviations
  // The greatest of 2000 uniform numbers is within 1 % of the end, but for one time in 10^8.
  EXPECT_LE(angle, 10);
  EXPECT_GT(angle, 9.9);
  EXPECT_LE(most, 1.1);
  EXPECT_GT(most, 1.098);
  EXPECT_GE(least, 0.9);
  EXPECT_LT(least, 0.902);
}

TEST_F(TaskLoader, SamplesAreAugmentedWhereAskedOnly) {
  store({make_volume("a", {6, 20, 30})});
  LabelledSamples samples{.slices = data_->slices, .classes = {{3}}, .size = {1, 16, 16}};
  const LoaderOptions options{.batch_size = 6, .shuffle = false};
  const auto plain = make_task_loader(data_, samples, options)->next();
  for (int64_t slice = 0; slice < 6; ++slice) {
    const auto [image, mask] = rendered(slice, {{3}}, {}, 16);
    EXPECT_TRUE(torch::allclose(plain->images.pixels[slice][0] * normal_deviation + normal_mean, image, 0, 1e-6));
    EXPECT_TRUE(torch::equal(plain->masks[slice], mask));
  }
  samples.augment = true;
  const auto augmented = make_task_loader(data_, samples, options)->next();
  for (int64_t slice = 0; slice < 6; ++slice) {
    EXPECT_FALSE(torch::allclose(plain->images.pixels[slice], augmented->images.pixels[slice], 0, 1e-3))
        << "slice " << slice;
  }
}

TEST_F(TaskLoader, SamplesInOrderForScoring) {
  store({make_volume("a", {3, 12, 10}), make_volume("b", {2, 9, 9})});
  const LabelledSamples samples{
      .slices = {{1, 1}, {0, 2}, {0, 0}, {1, 0}, {0, 1}}, .classes = {{1}}, .size = {1, 8, 8}};
  const auto loader =
      make_task_loader(data_, samples, {.batch_size = 2, .workers = 2, .shuffle = false, .drop_last = false});
  std::vector<std::array<int32_t, 2>> seen;
  while (const auto batch = loader->next())
    for (int64_t i = 0; i < batch->size(); ++i)
      seen.push_back({batch->volume[i].item<int32_t>(), batch->position[i].item<int32_t>()});
  EXPECT_EQ(seen, samples.slices);
}

TEST_F(TaskLoader, BalancedTrainingSeesAsManySlicesWithTargetAsWithout) {
  store({make_volume("a", {9, 12, 10})});  // slices 1, 3, 5, 7 have labels
  LabelledSamples samples{.slices = data_->slices, .classes = {{3}}, .balanced = true, .size = {1, 8, 8}};
  const auto loader = make_task_loader(data_, samples, {.batch_size = 4});
  EXPECT_EQ(loader->batches(), 2);
  std::multiset<int64_t> with;
  while (const auto batch = loader->next()) {
    const Tensor held = batch->masks.flatten(1).any(1);
    EXPECT_EQ(held.sum().item<int64_t>(), 2);
    for (int64_t i = 0; i < 4; ++i)
      if (held[i].item<bool>()) with.insert(batch->position[i].item<int64_t>());
  }
  EXPECT_EQ(with, (std::multiset<int64_t>{1, 3, 5, 7}));
}

TEST_F(TaskLoader, VolumesComeWithTheirClass) {
  store({make_volume("a", {3, 8, 8}), make_volume("b", {5, 8, 8})});
  const LabelledSamples samples{
      .unit = SampleKind::volume, .volumes = {1, 0}, .volume_labels = {4, 2}, .size = {5, 8, 8}};
  const auto batch = make_task_loader(data_, samples, {.batch_size = 2, .shuffle = false})->next();
  ASSERT_TRUE(batch);
  EXPECT_TRUE(torch::equal(batch->labels, torch::tensor({4, 2})));
  EXPECT_TRUE(torch::equal(batch->volume, torch::tensor({1, 0})));
  EXPECT_EQ(batch->images.pixels.sizes(), (std::vector<int64_t>{2, 1, 5, 8, 8}));
  const Tensor whole = expected_pixels(make_volume("b", {5, 8, 8}));  // five frames of five slices: nothing resampled
  EXPECT_TRUE(torch::allclose(batch->images.pixels[0][0] * normal_deviation + normal_mean, whole, 0, 1e-5));
}

// Three frames of nine slices are the slices 1, 4 and 7; as many frames as slices are the slices themselves.
TEST_F(TaskLoader, VolumesComeWithAMaskOfEachFrame) {
  const auto volume = make_volume("a", {9, 8, 8});
  store({volume});
  LabelledSamples samples{
      .unit = SampleKind::volume, .volumes = {0}, .classes = {{3}}, .augment = true, .size = {9, 8, 8}};
  const auto all = make_task_loader(data_, samples, {.batch_size = 1})->next();
  ASSERT_TRUE(all);
  EXPECT_FALSE(all->labels.defined());
  ASSERT_EQ(all->masks.sizes(), (std::vector<int64_t>{1, 9, 8, 8}));
  EXPECT_TRUE(
      torch::allclose(all->images.pixels[0][0] * normal_deviation + normal_mean, expected_pixels(volume), 0, 1e-5))
      << "augmented, though the mask is not";
  LabelledSamples slices{.slices = data_->slices, .classes = {{3}}, .size = {1, 8, 8}};
  const auto by_slice = make_task_loader(data_, slices, {.batch_size = 9, .shuffle = false})->next();
  EXPECT_TRUE(torch::equal(all->masks[0], by_slice->masks));
  EXPECT_TRUE(all->masks.any().item<bool>());
  samples.size[0] = 3;
  const auto few = make_task_loader(data_, samples, {.batch_size = 1})->next();
  EXPECT_TRUE(torch::equal(few->masks[0], by_slice->masks.index_select(0, torch::tensor({1, 4, 7}))));
}

TEST_F(TaskLoader, MasksOfVolumesNeedLabels) {
  store({make_volume("a", {3, 8, 8}, "int16", /*with_labels=*/false)});
  const LabelledSamples samples{.unit = SampleKind::volume, .volumes = {0}, .classes = {{3}}, .size = {3, 8, 8}};
  EXPECT_THROW(make_task_loader(data_, samples, {.batch_size = 1}), Error);
}

}  // namespace
}  // namespace ivory::data
