// Rules of cubes: sizes that they are cut as, borders, dense tissue, intersections over unions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "data/cube_reader.h"
#include "data/loader_fixtures.h"
#include "data/view_math.h"
#include "support/errors.h"

namespace ivory::data {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using torch::Tensor;

VolumeViewSpec plain(const Extent& size) {
  return {.extent = VolumeViewSpec::Extent::cube,
          .size = size,
          .flip = 0,
          .rotation = 0,
          .scale = 0,
          .anisotropy = 0,
          .noise = 0,
          .blur = 0,
          .bias_field = 0,
          .gamma = 0};
}

GreyVolume part_of(const Tensor& values) {
  const Tensor flat = values.to(torch::kFloat32).contiguous();
  return {.extent = {flat.size(0), flat.size(1), flat.size(2)},
          .voxels = {flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()}};
}

// --- Dense tissue ----------------------------------------------------------------------------------------------------

constexpr double all_voxels = 64.0 * 64 * 32, accepted = 0.15;

double sum_of(const Tensor& cube) {
  return all_voxels * dense_share(part_of(cube), whole_box({32, 64, 64}), 0.425);
}

TEST(DenseShare, IsModelsGenesisRule) {
  EXPECT_EQ(sum_of(torch::zeros({32, 64, 64})), 0);
  EXPECT_EQ(sum_of(torch::full({32, 64, 64}, 0.425F)), 131072);
  EXPECT_GT(131072, accepted * all_voxels) << "dense tissue is rejected";
  for (const int64_t slice : {1, 17, 31}) {
    Tensor cube = torch::zeros({32, 64, 64});
    cube[slice] = 0.6;
    EXPECT_EQ(sum_of(cube), 6144) << "a slice of 4096 and half of the one before";
  }
  EXPECT_LE(6144, accepted * all_voxels);
  Tensor first = torch::zeros({32, 64, 64});
  first[0] = 0.6;
  EXPECT_EQ(sum_of(first), 4096);
}

TEST(DenseShare, LooksIntoTheSliceBehindTheCube) {
  Tensor part = torch::zeros({33, 64, 64});
  part[32] = 0.6;
  EXPECT_EQ(all_voxels * dense_share(part_of(part), {.start = {0, 0, 0}, .length = {32, 64, 64}}, 0.425), 2048);
}

// --- Where cubes lie -------------------------------------------------------------------------------------------------

VolumeInfo volume_of(const Extent& extent) {
  VolumeInfo info;
  info.name = "a";
  info.slices = extent[0], info.rows = extent[1], info.columns = extent[2];
  return info;
}

TEST(CubeBorder, IsKeptAndShrinksWhereAVolumeIsTooSmall) {
  VolumeViewSpec views = plain({4, 8, 8});
  views.border = {3, 10, 100};
  const CubeGrid grid(volume_of({20, 28, 30}), views);
  CounterRandom random(1, 2, 3, 4);
  std::array<double, 3> lowest = {99, 99, 99}, highest = {-1, -1, -1};
  for (int i = 0; i < 2000; ++i) {
    const VolumeBox box = grid.draw(random);
    for (size_t axis = 0; axis < 3; ++axis) {
      lowest[axis] = std::min(lowest[axis], box.start[axis]);
      highest[axis] = std::max(highest[axis], box.start[axis]);
    }
  }
  EXPECT_EQ(lowest, (std::array<double, 3>{3, 10, 11})) << "of 22 free columns none is left on one side alone";
  EXPECT_EQ(highest, (std::array<double, 3>{13, 10, 11}));
  EXPECT_TRUE(CubeGrid(volume_of({4, 8, 8}), views).fits()) << "a border never makes a volume too small";
}

TEST(IntersectionOverUnion, IsOfBoxesOfAnySize) {
  const VolumeBox first{.start = {0, 0, 0}, .length = {4, 4, 4}};
  EXPECT_DOUBLE_EQ(intersection_over_union(first, first), 1);
  EXPECT_DOUBLE_EQ(intersection_over_union(first, {.start = {0, 0, 2}, .length = {4, 4, 4}}), 32.0 / 96);
  EXPECT_DOUBLE_EQ(intersection_over_union(first, {.start = {1, 1, 1}, .length = {2, 2, 2}}), 8.0 / 64);
  EXPECT_DOUBLE_EQ(intersection_over_union(first, {.start = {0, 4, 0}, .length = {4, 4, 4}}), 0);
}

class CubeSources : public ::testing::Test {
 protected:
  void store(const Tensor& grey) {
    VolumeData volume = make_volume("a", {grey.size(0), grey.size(1), grey.size(2)}, "float32", false);
    volume.pixels = grey.to(torch::kFloat32).contiguous();
    volume.info.window = {0, 1};
    folders_.push_back(std::make_unique<TemporaryFolder>());
    write_cache(folders_.back()->path(), {volume});
    data_ = open_data_set(folders_.back()->path());
  }
  std::vector<std::unique_ptr<TemporaryFolder>> folders_;
  std::shared_ptr<const DataSet> data_;
};

// A ramp along x tells the size that a cube was cut as; the loader says it too.
TEST_F(CubeSources, AreDrawnEvenlyAndResizedToOneSize) {
  store((torch::arange(64, torch::kFloat32) / 64).view({1, 1, 64}).expand({24, 64, 64}));
  VolumeViewSpec views = plain({8, 16, 16});
  views.count = 2;
  views.sources = {{{8, 16, 16}}, {{16, 32, 32}}, {{8, 48, 48}}};
  std::map<int64_t, int64_t> drawn;
  const auto loader =
      make_volume_loader(data_, views, {.batch_size = 1, .shuffle = false, .prepare = [](const Sample& s) {
                                          return std::vector<Tensor>{torch::tensor(s.sources)};
                                        }});
  for (int64_t epoch = 0; epoch < 300; ++epoch) {
    loader->start(epoch, 0);
    const auto batch = *loader->next();
    for (int64_t v = 0; v < 2; ++v) {
      const View& view = batch.views[static_cast<size_t>(v)];
      ASSERT_EQ(view.pixels.sizes(), torch::IntArrayRef({1, 1, 8, 16, 16}));
      const Tensor row = (view.pixels[0][0][4][8] * normal_deviation + normal_mean) * 64;
      const double step = ((row[12] - row[4]) / 8).item<double>();
      const int64_t source = batch.prepared[0][0][v].item<int64_t>();
      ++drawn[source];
      EXPECT_NEAR(step, static_cast<double>(source + 1), 1e-3);
      const auto& spacing = data_->info(0).spacing;
      EXPECT_NEAR(view.place[0][2][2].item<double>(), step * spacing[2], 1e-2);
    }
  }
  for (const auto& [source, count] : drawn)
    EXPECT_NEAR(static_cast<double>(count), 200, 50) << "of 600: source " << source;
  EXPECT_EQ(drawn.size(), 3U);
}

TEST_F(CubeSources, PairsHaveTheirIntersectionOverUnion) {
  store(torch::rand({24, 64, 64}));
  VolumeViewSpec views = plain({8, 16, 16});
  views.count = 2;
  views.iou = 0.25;
  views.sources = {{{8, 16, 16}}, {{12, 24, 24}}, {{16, 32, 32}}};
  const CubeReader reader(data_, views, data_->stacks);
  int64_t different = 0;
  for (uint64_t i = 0; i < 200; ++i) {
    CounterRandom random(1, 2, 3, i);
    const PlacedCube first = reader.place(0, nullptr, random), second = reader.place(0, &first, random);
    EXPECT_GE(intersection_over_union(first.box, second.box), 0.25);
    different += first.box.start != second.box.start ? 1 : 0;
  }
  EXPECT_GT(different, 100);
}

TEST_F(CubeSources, WithoutASuitablePlaceAPairLiesTogetherAndIsCounted) {
  store(torch::rand({24, 64, 64}));
  VolumeViewSpec views = plain({2, 4, 4});
  views.count = 2;
  views.iou = 0.999;
  const CubeReader reader(data_, views, data_->stacks);
  CounterRandom random(1, 2, 3, 4);
  const PlacedCube first = reader.place(0, nullptr, random);
  EXPECT_EQ(reader.place(0, &first, random).box.start, first.box.start);
  EXPECT_THAT(reader.remarks(), ElementsAre(HasSubstr("1 cubes found no place")));
}

TEST_F(CubeSources, DenseCubesAreDrawnAgain) {
  Tensor half = torch::zeros({8, 64, 64});
  half.slice(2, 32) = 0.6;
  store(half);
  VolumeViewSpec views = plain({4, 16, 16});
  views.count = 16;
  views.most_tissue = 0.15;
  const auto loader = make_volume_loader(data_, views, {.batch_size = 1, .shuffle = false});
  const auto batch = loader->next();
  for (const View& view : batch->views)
    EXPECT_LE((view.pixels * normal_deviation + normal_mean >= 0.425).to(torch::kDouble).mean().item<double>(), 0.15);
  EXPECT_TRUE(loader->remarks().empty());
  store(torch::full({8, 64, 64}, 0.6));
  const auto dense = make_volume_loader(data_, views, {.batch_size = 1, .shuffle = false});
  dense->next();
  EXPECT_THAT(dense->remarks(), ElementsAre(HasSubstr("16 of 16 cubes hold more than 15 % of dense tissue")));
}

TEST_F(CubeSources, WhatCannotBeDrawnIsRefused) {
  store(torch::rand({24, 64, 64}));
  const auto mistake = [&](auto change) {
    VolumeViewSpec views = plain({8, 16, 16});
    views.count = 2;
    change(views);
    return test::bad_request_of([&] { check_volume_views(views); });
  };
  EXPECT_THAT(mistake([](VolumeViewSpec& v) { v.most_tissue = 0; }), HasSubstr("dense voxels"));
  EXPECT_THAT(mistake([](VolumeViewSpec& v) { v.iou = 0.5, v.count = 1; }), HasSubstr("intersection over union"));
  EXPECT_THAT(mistake([](VolumeViewSpec& v) { v.sources = {{{0, 4, 4}}}; }), HasSubstr("a side of 0"));
  EXPECT_THAT(mistake([](VolumeViewSpec& v) { v.sources = {{{4, 4, 4}}}, v.overlap = 0.5; }), HasSubstr("iou"));
  VolumeViewSpec large = plain({8, 16, 16});
  large.sources = {{{8, 16, 16}}, {{8, 128, 16}}};
  const CubeReader padded(data_, large, data_->stacks);
  EXPECT_THAT(padded.remarks(), ElementsAre(HasSubstr("1 volume is smaller than the cube")));
}

}  // namespace
}  // namespace ivory::data
