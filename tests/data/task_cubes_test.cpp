// Cubes with masks for training, whole volumes at their spacing for evaluation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/loader_fixtures.h"
#include "data/view_math.h"

namespace ivory::data {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using torch::Tensor;

// Grey values say which class a voxel has: a block of label 5 is darker than what lies around it, one of 7 brighter.
VolumeData blocks(const std::string& name, const VolumeShape& shape) {
  VolumeData volume = make_volume(name, shape, "float32");
  volume.labels.zero_();
  volume.labels.slice(0, 2, 5).slice(1, 4, 9).slice(2, 3, 11) = 5;
  volume.labels.slice(0, 4, 7).slice(1, 20, 28).slice(2, 16, 22) = 7;
  volume.pixels = 0.5 - 0.4 * (volume.labels == 5).to(torch::kFloat32) + 0.4 * (volume.labels == 7).to(torch::kFloat32);
  volume.info.window = {0, 1};
  return volume;
}

Tensor spacing_of(const VolumeData& volume) {
  const auto& mm = volume.info.spacing;
  return torch::tensor({mm[0], mm[1], mm[2]}, torch::kDouble);
}

class TaskCubes : public ::testing::Test {
 protected:
  TaskCubes() {
    volumes_ = {blocks("a", {12, 40, 30}), blocks("b", {9, 33, 44})};
    write_cache(folder_.path(), volumes_);
    data_ = open_data_set(folder_.path());
  }

  // Classes 1 and 2 of the two volumes, cubes of 4 × 12 × 10.
  static LabelledSamples samples(const VolumeViewSpec& cubes = {}) {
    LabelledSamples made{.unit = SampleKind::volume, .volumes = {0, 1}, .classes = {{5}, {7}}, .cubes = cubes};
    made.cubes->size = {4, 12, 10};
    return made;
  }
  // The class by the grey value, where it is no mixture.
  static void expect_masks_of_pixels(const TaskBatch& batch, double least_part) {
    const Tensor grey = (batch.images.pixels * normal_deviation + normal_mean).squeeze(1);
    const Tensor classes = (grey < 0.3).to(torch::kInt64) + 2 * (grey > 0.7).to(torch::kInt64);
    const Tensor pure = ((grey - 0.1).abs() < 0.002) | ((grey - 0.5).abs() < 0.002) | ((grey - 0.9).abs() < 0.002);
    EXPECT_GE(pure.to(torch::kDouble).mean().item<double>(), least_part);
    EXPECT_TRUE(torch::equal(classes.masked_select(pure), batch.masks.masked_select(pure)));
  }

  TemporaryFolder folder_;
  std::vector<VolumeData> volumes_;
  std::shared_ptr<const DataSet> data_;
};

TEST_F(TaskCubes, MasksLieOnTheirVoxels) {
  LabelledSamples plain = samples({.count = 8}), turned = samples({.count = 8});
  turned.augment = true;
  turned.cubes->noise = turned.cubes->blur = turned.cubes->bias_field = turned.cubes->gamma = 0;
  turned.cubes->anisotropy = 0;
  for (const LabelledSamples& some : {plain, turned}) {
    for (const std::array<double, 3>& spacing : {std::array{0.0, 0.0, 0.0}, std::array{1.3, 0.5, 1.1}}) {
      LabelledSamples asked = some;
      asked.cubes->spacing = spacing;
      const auto loader = make_task_loader(data_, asked, {.batch_size = 16});
      const auto batch = loader->next();
      ASSERT_TRUE(batch);
      ASSERT_EQ(batch->images.pixels.sizes(), (std::vector<int64_t>{16, 1, 4, 12, 10}));
      ASSERT_EQ(batch->masks.sizes(), (std::vector<int64_t>{16, 4, 12, 10}));
      ASSERT_EQ(batch->images.place.sizes(), (std::vector<int64_t>{16, 3, 4}));
      const bool exact = !asked.augment && spacing[0] == 0;
      expect_masks_of_pixels(*batch, exact ? 1 : 0.6);
      EXPECT_TRUE((batch->masks > 0).any().item<bool>());
    }
  }
}

TEST_F(TaskCubes, AnEpochHasEachVolumesCubes) {
  const auto loader = make_task_loader(data_, samples({.count = 3}), {.batch_size = 2, .workers = 2});
  std::multiset<int64_t> seen;
  EXPECT_EQ(loader->batches(), 3);
  std::vector<Tensor> images;
  while (const auto batch = loader->next())
    for (int64_t i = 0; i < 2; ++i) {
      seen.insert(batch->volume[i].item<int64_t>());
      images.push_back(batch->images.place[i]);
    }
  EXPECT_EQ(seen, (std::multiset<int64_t>{0, 0, 0, 1, 1, 1}));
  for (size_t i = 1; i < images.size(); ++i) EXPECT_FALSE(torch::equal(images[0], images[i]));
}

TEST_F(TaskCubes, HalfOfBalancedCubesHaveTheirCentreInATarget) {
  LabelledSamples balanced = samples({.count = 4});
  balanced.balanced = true;
  balanced.cubes->size = {1, 3, 3};  // small: by chance few have one
  const auto loader = make_task_loader(data_, balanced, {.batch_size = 8});
  std::array<int64_t, 3> centres{};
  int64_t count = 0;
  for (int64_t epoch = 0; epoch < 50; ++epoch) {
    loader->start(epoch, 0);
    const auto batch = loader->next();
    for (int64_t i = 0; i < 8; ++i, ++count) ++centres[static_cast<size_t>(batch->masks[i][0][1][1].item<int64_t>())];
  }
  // 120 and 144 of the target's 264 voxels; a random centre hits one of them in 2 %: of 200 at most 20.
  EXPECT_GE(centres[1] + centres[2], count / 2);
  EXPECT_LE(centres[1] + centres[2], count / 2 + 20);
  EXPECT_NEAR(centres[1], 0.45 * 200, 40);  // five standard deviations
}

TEST_F(TaskCubes, EvaluationGivesWholeVolumesAtTheCubesSpacing) {
  LabelledSamples whole = samples();
  whole.whole = true;
  const LoaderOptions options{.batch_size = 4, .shuffle = false, .drop_last = false};  // one a batch nevertheless
  const auto loader = make_task_loader(data_, whole, options);
  EXPECT_EQ(loader->batches(), 2);
  for (int64_t i = 0; i < 2; ++i) {
    const auto batch = loader->next();
    const VolumeData& volume = volumes_[static_cast<size_t>(i)];
    EXPECT_EQ(batch->volume[0].item<int64_t>(), i);
    EXPECT_TRUE(
        torch::allclose(batch->images.pixels[0][0] * normal_deviation + normal_mean, expected_pixels(volume), 0, 1e-6));
    const Tensor classes = (volume.labels == 5).to(torch::kInt64) + 2 * (volume.labels == 7).to(torch::kInt64);
    EXPECT_TRUE(torch::equal(batch->masks[0], classes));
    EXPECT_TRUE(
        torch::allclose(batch->images.place[0], torch::constant_pad_nd(torch::diag(spacing_of(volume)), {0, 1})));
  }
  whole.cubes->spacing = {5, 1.4, 0.4};
  const auto coarse = make_task_loader(data_, whole, options)->next();
  EXPECT_EQ(coarse->images.pixels.sizes(), (std::vector<int64_t>{1, 1, 6, 20, 60}));
  EXPECT_EQ(coarse->masks.sizes(), (std::vector<int64_t>{1, 6, 20, 60}));
  expect_masks_of_pixels(*coarse, 0.7);
}

TEST_F(TaskCubes, VolumesMayHaveAClassInsteadOfMasks) {
  LabelledSamples labelled = samples({.count = 2});
  labelled.classes.clear();
  labelled.volume_labels = {4, 9};
  const auto batch = make_task_loader(data_, labelled, {.batch_size = 4, .shuffle = false})->next();
  EXPECT_TRUE(torch::equal(batch->labels, torch::tensor({4, 4, 9, 9})));
  EXPECT_FALSE(batch->masks.defined());
}

TEST_F(TaskCubes, WhatCannotBeLoadedIsRefused) {
  const auto refused = [&](const LabelledSamples& asked) {
    const Failure failure = failure_of([&] { make_task_loader(data_, asked, {.batch_size = 1}); });
    return failure.code == ExitCode::bad_request ? failure.message : "";
  };
  LabelledSamples none = samples();
  none.volumes.clear();
  EXPECT_THAT(refused(none), HasSubstr("no volumes"));
  LabelledSamples targets = samples();
  targets.classes = {{3}}, targets.balanced = true;
  EXPECT_THAT(refused(targets), HasSubstr("holds a target"));
  LabelledSamples large = samples();
  large.cubes->size = {10, 12, 10}, large.cubes->pad = false;
  EXPECT_THAT(refused(large), HasSubstr("do not fit into 1 of 2 volumes: b"));
  large.whole = true;
  EXPECT_EQ(refused(large), "") << "a whole volume may be smaller than a cube";
}

}  // namespace
}  // namespace ivory::data
