// Where cubes lie.
#include "data/cube.h"

#include <gtest/gtest.h>

#include "data/cache_fixtures.h"

namespace ivory::data {
namespace {

using namespace testing;
using Spacing = std::array<double, 3>;

VolumeInfo volume_of(const Extent& extent, const Spacing& spacing = {2.5, 0.7, 0.8}) {
  VolumeInfo info;
  info.name = "a";
  info.slices = extent[0], info.rows = extent[1], info.columns = extent[2];
  info.spacing = spacing;
  return info;
}

VolumeViewSpec cubes_of(const Extent& size, const Spacing& spacing = {0, 0, 0}) {
  return {.extent = VolumeViewSpec::Extent::cube, .size = size, .spacing = spacing};
}

TEST(CubeGrid, CubesOfTheVolumesOwnSpacingAreVoxelsAndReachEveryBorder) {
  const CubeGrid grid(volume_of({20, 30, 40}), cubes_of({5, 30, 12}, {0, 0.7, 0}));
  CounterRandom random(1, 2, 3, 4);
  std::array<double, 3> lowest = {99, 99, 99}, highest = {-1, -1, -1};
  for (int i = 0; i < 2000; ++i) {
    const VolumeBox box = grid.draw(random);
    EXPECT_EQ(box.length, (std::array<double, 3>{5, 30, 12}));
    for (size_t axis = 0; axis < 3; ++axis) {
      EXPECT_EQ(box.start[axis], std::floor(box.start[axis]));
      lowest[axis] = std::min(lowest[axis], box.start[axis]);
      highest[axis] = std::max(highest[axis], box.start[axis]);
    }
  }
  EXPECT_EQ(lowest, (std::array<double, 3>{0, 0, 0}));
  EXPECT_EQ(highest, (std::array<double, 3>{15, 0, 28}));
}

TEST(CubeGrid, CubesInMillimetresLieAnywhereInTheVolume) {
  const CubeGrid grid(volume_of({20, 300, 400}), cubes_of({8, 64, 64}, {5, 1.4, 0.4}));
  CounterRandom random(1, 2, 3, 4);
  for (int i = 0; i < 500; ++i) {
    const VolumeBox box = grid.draw(random);
    const std::array<double, 3> length = {16, 128, 32}, extent = {20, 300, 400};
    for (size_t axis = 0; axis < 3; ++axis) {
      EXPECT_NEAR(box.length[axis], length[axis], 1e-9);
      EXPECT_GE(box.start[axis], 0);
      EXPECT_LE(box.start[axis] + box.length[axis], extent[axis] + 1e-9);
    }
  }
  EXPECT_EQ(grid.shrinking(), (Extent{1, 2, 1}));
  EXPECT_EQ(grid.whole_size(), (Extent{10, 150, 800}));
}

TEST(CubeGrid, SharedPartsAreProducts) {
  const VolumeBox first{.start = {1, 2, 3}, .length = {4, 10, 2}};
  EXPECT_DOUBLE_EQ(shared_part(first, first), 1);
  EXPECT_DOUBLE_EQ(shared_part(first, {.start = {2, 7, 3}, .length = first.length}), 0.75 * 0.5);
  EXPECT_DOUBLE_EQ(shared_part(first, {.start = {1, 2, 5.5}, .length = first.length}), 0);
}

TEST(CubeGrid, FurtherCubesShareTheirPartOfTheFirst) {
  CounterRandom random(5, 6, 7, 8);
  int64_t far = 0, apart = 0;
  for (int i = 0; i < 10000; ++i) {
    const bool native = i % 2 == 0;
    const Extent extent = {10 + random.below(40), 20 + random.below(40), 8 + random.below(60)};
    const CubeGrid grid(volume_of(extent), cubes_of({8, 16, 12}, native ? Spacing{} : Spacing{1.9, 0.8, 0.5}));
    const double overlap = random.chance(0.05) ? 1 : random.uniform(0.01, 0.99);
    const VolumeBox first = grid.draw(random), further = grid.draw_beside(first, overlap, random);
    ASSERT_GE(shared_part(first, further), overlap);
    for (size_t axis = 0; axis < 3; ++axis) {
      const double room = static_cast<double>(extent[axis]) - further.length[axis];
      ASSERT_GE(further.start[axis], std::min(0.0, room));
      ASSERT_LE(further.start[axis], std::max(0.0, room));
      if (native) ASSERT_EQ(further.start[axis], std::floor(further.start[axis]));
    }
    far += shared_part(first, further) < 0.5 * (1 + overlap);
    apart += further.start != first.start;
  }
  EXPECT_GT(far, 2500) << "they use the room that they have";
  EXPECT_GT(apart, 7500);
}

TEST(CubeGrid, WithoutAnOverlapCubesAreIndependent) {
  const CubeGrid grid(volume_of({8, 200, 200}), cubes_of({8, 16, 16}));
  CounterRandom random(1, 2, 3, 4);
  const VolumeBox first = grid.draw(random);
  int64_t disjoint = 0;
  for (int i = 0; i < 200; ++i) disjoint += shared_part(first, grid.draw_beside(first, 0, random)) == 0;
  EXPECT_GT(disjoint, 150);
}

TEST(CubeGrid, ACubeAboutAVoxelStaysInTheVolume) {
  const CubeGrid grid(volume_of({20, 30, 40}), cubes_of({4, 5, 8}));
  EXPECT_EQ(grid.around({10, 10, 20}).start, (std::array<double, 3>{8, 8, 16}));
  EXPECT_EQ(grid.around({0, 29, 39}).start, (std::array<double, 3>{0, 25, 32}));
}

TEST(CubeGrid, ACubeThatIsLargerLiesAboutTheMiddle) {
  const CubeGrid grid(volume_of({3, 30, 40}), cubes_of({8, 8, 8}));
  EXPECT_FALSE(grid.fits());
  CounterRandom random(1, 2, 3, 4);
  const VolumeBox first = grid.draw(random);
  EXPECT_EQ(first.start[0], -3);  // five voxels more: three below, two above
  EXPECT_EQ(grid.draw_beside(first, 0.3, random).start[0], -3);
  EXPECT_EQ(grid.around({1, 15, 15}).start[0], -3);
  EXPECT_TRUE(CubeGrid(volume_of({8, 30, 40}), cubes_of({8, 8, 8})).fits());
}

TEST(CubeGrid, WhatCannotBeDrawnIsRefused) {
  const auto refused = [](const auto& change) {
    VolumeViewSpec views = cubes_of({4, 4, 4});
    change(views);
    const Failure failure = failure_of([&] { check_volume_views(views); });
    return failure.code == ExitCode::bad_request ? failure.message : "";
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(refused([](auto& v) { v.size[1] = 0; }), HasSubstr("4 x 0 x 4"));
  EXPECT_THAT(refused([](auto& v) { v.spacing[2] = -1; }), HasSubstr("spacing"));
  EXPECT_THAT(refused([](auto& v) { v.spacing[0] = std::nan(""); }), HasSubstr("spacing"));
  EXPECT_THAT(refused([](auto& v) { v.overlap = 1.2; }), HasSubstr("overlap of 1.2 cannot be met"));
  EXPECT_THAT(refused([](auto& v) { v.overlap = std::nan(""); }), HasSubstr("overlap"));
  EXPECT_THAT(refused([](auto& v) { v.overlap = 0.5, v.count = 1; }), HasSubstr("overlap of 0.5 cannot be met"));
  EXPECT_THAT(refused([](auto& v) { v.most_air = 0; }), HasSubstr("air"));
  EXPECT_THAT(refused([](auto& v) { v.air_below = std::nan(""); }), HasSubstr("air"));
  EXPECT_EQ(failure_of([] { check_volume_views(cubes_of({4, 4, 4})); }).message, "");
  const auto flat = volume_of({9, 9, 9}, {0, 1, 1});
  EXPECT_THAT(failure_of([&] {
                CubeGrid(flat, cubes_of({4, 4, 4}, {2, 1, 1}));
              }).message,
              HasSubstr("volume a has a spacing of 0 mm"));
}

}  // namespace
}  // namespace ivory::data
