// Cubes of volumes: which voxels they show, air, small volumes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/loader_fixtures.h"
#include "data/view_math.h"

namespace ivory::data {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using torch::Tensor;

// Without any change of the pixels.
VolumeViewSpec plain_cubes(const std::array<int64_t, 3>& size, const std::array<double, 3>& spacing = {0, 0, 0}) {
  return {.extent = VolumeViewSpec::Extent::cube,
          .size = size,
          .spacing = spacing,
          .flip = 0,
          .rotation = 0,
          .scale = 0,
          .anisotropy = 0,
          .noise = 0,
          .blur = 0,
          .bias_field = 0,
          .gamma = 0};
}

Tensor spacing_of(const VolumeData& volume) {
  const auto& mm = volume.info.spacing;
  return torch::tensor({mm[0], mm[1], mm[2]}, torch::kDouble);
}

Tensor unnormalised(const Tensor& pixels) {
  return pixels * normal_deviation + normal_mean;
}

class CubeLoader : public ::testing::Test {
 protected:
  void store(const std::vector<VolumeData>& volumes) {
    write_cache(folder_.path(), volumes);
    data_ = open_data_set(folder_.path());
  }
  Batch first_batch(const VolumeViewSpec& views, int64_t batch_size = 1, int64_t epoch = 0) const {
    const auto loader = make_volume_loader(data_, views, {.batch_size = batch_size, .shuffle = false});
    loader->start(epoch, 0);
    return *loader->next();
  }

  TemporaryFolder folder_;
  std::shared_ptr<const DataSet> data_;
};

// Grey values 0 … 1 as the window shows them.
VolumeData volume_of(const std::string& name, const Tensor& grey) {
  VolumeData volume = make_volume(name, {grey.size(0), grey.size(1), grey.size(2)}, "float32", false);
  volume.pixels = grey.to(torch::kFloat32).contiguous();
  volume.info.window = {0, 1};
  return volume;
}

TEST_F(CubeLoader, AtTheVolumesSpacingItsVoxelsAreCopied) {
  const VolumeData volume = make_volume("a", {9, 40, 50});
  store({volume});
  const Tensor expected = expected_pixels(volume);
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    const Batch batch = first_batch(plain_cubes({4, 10, 14}), 1, epoch);
    ASSERT_EQ(batch.views.size(), 2U);
    for (const View& view : batch.views) {
      ASSERT_EQ(view.pixels.sizes(), (std::vector<int64_t>{1, 1, 4, 10, 14}));
      const Tensor corner = (view.place[0].select(1, 3) / spacing_of(volume)).round();
      Tensor shown = expected;
      for (int64_t axis = 0; axis < 3; ++axis)
        shown = shown.narrow(axis, corner[axis].item<int64_t>(), view.pixels.size(axis + 2));
      EXPECT_TRUE(torch::allclose(unnormalised(view.pixels[0][0]), shown, 0, 1e-6));  // the window in float32
    }
  }
}

TEST_F(CubeLoader, FlippedCubesAreCopiedToo) {
  const VolumeData volume = make_volume("a", {4, 12, 12});
  store({volume});
  VolumeViewSpec views = plain_cubes({4, 12, 12});
  views.flip = 1;
  const Tensor expected = expected_pixels(volume).flip({0, 1, 2});
  EXPECT_TRUE(torch::allclose(unnormalised(first_batch(views).views[0].pixels[0][0]), expected, 0, 1e-6));
}

// What partial reading leaves out is never needed: the same cube of a volume that is decoded as a whole.
TEST_F(CubeLoader, AnyTransformationSeesTheWholeVolume) {
  const VolumeData volume = make_volume("a", {12, 60, 70}, "int16", false);
  store({volume});
  VolumeViewSpec views = plain_cubes({6, 20, 24}, {2, 0, 1.1});
  views.count = 3, views.flip = 0.5, views.rotation = 30, views.scale = 0.3;
  const Tensor whole = expected_pixels(volume), spacing = spacing_of(volume);
  const Tensor last = torch::tensor({11, 59, 69}, torch::kDouble);
  for (int64_t epoch = 0; epoch < 8; ++epoch) {
    for (const View& view : first_batch(views, 1, epoch).views) {
      const auto axis = [](int64_t n) { return torch::arange(n, torch::kDouble); };
      const auto mesh = torch::meshgrid({axis(6), axis(20), axis(24)}, "ij");
      const Tensor voxels = torch::stack({mesh[0], mesh[1], mesh[2], torch::ones_like(mesh[0])}, -1);
      const Tensor index = voxels.matmul(view.place[0].t()) / spacing;  // of the volume: [D, H, W, 3]
      const Tensor grid = (2 * index / last - 1).flip(-1).unsqueeze(0).to(torch::kFloat32);
      const Tensor expected = torch::grid_sampler(whole.unsqueeze(0).unsqueeze(0), grid, 0, /*border*/ 1, true)[0][0];
      // Places in float32, up to 70 of them, where neighbours differ by 0.05.
      EXPECT_TRUE(torch::allclose(unnormalised(view.pixels[0][0]), expected, 0, 1e-4)) << "epoch " << epoch;
    }
  }
}

TEST_F(CubeLoader, CubesWithTooMuchAirAreDrawnAgain) {
  const Tensor half = torch::zeros({4, 64, 64});  // the left half is air
  half.slice(2, 32) = 0.6;
  store({volume_of("a", half)});
  VolumeViewSpec views = plain_cubes({4, 16, 16});
  views.count = 16;
  const auto air = [](const View& view) { return (unnormalised(view.pixels) < 0.05).to(torch::kDouble).mean(); };
  double most = 0, sum = 0;
  for (const View& view : first_batch(views).views) sum += air(view).item<double>() / 16;
  EXPECT_GT(sum, 0.2) << "as they come";
  views.most_air = 0.25;
  const auto loader = make_volume_loader(data_, views, {.batch_size = 1});
  for (int64_t epoch = 0; epoch < 8; ++epoch) {
    loader->start(epoch, 0);
    const auto batch = loader->next();
    for (const View& view : batch->views) most = std::max(most, air(view).item<double>());
  }
  EXPECT_LE(most, 0.25);
  EXPECT_GT(most, 0);
  EXPECT_TRUE(loader->remarks().empty());
}

TEST_F(CubeLoader, WhereAllIsAirTheLeastAiryCubeIsTakenAndCounted) {
  const Tensor sparse = torch::zeros({4, 32, 32});
  sparse.slice(1, 12, 20).slice(2, 12, 20) = 0.5;  // 64 of 256 pixels of a cube of 16: three quarters are air
  store({volume_of("a", sparse), volume_of("b", torch::full({4, 32, 32}, 0.425))});
  VolumeViewSpec views = plain_cubes({4, 16, 16});
  views.most_air = 0.5;
  const auto loader = make_volume_loader(data_, views, {.batch_size = 2, .shuffle = false});
  const auto batch = loader->next();
  for (const View& view : batch->views) {
    const Tensor air = (unnormalised(view.pixels) < 0.05).to(torch::kDouble).flatten(1).mean(1);
    EXPECT_LT(air[0].item<double>(), 0.8) << "the best of 32 draws, of which one in four holds all of it";
    EXPECT_EQ(air[1].item<double>(), 0);
  }
  ASSERT_EQ(loader->remarks().size(), 1U);
  EXPECT_THAT(loader->remarks()[0], HasSubstr("2 of 4 cubes"));
}

TEST_F(CubeLoader, WhatCountsAsAirIsSaidByTheIntensity) {
  store({volume_of("a", torch::full({4, 16, 16}, 0.425))});
  VolumeViewSpec views = plain_cubes({4, 16, 16});
  views.most_air = 0.5, views.air_below = 0.425;  // the border itself is tissue
  const auto remarks = [&] {
    const auto loader = make_volume_loader(data_, views, {.batch_size = 1});
    loader->next();
    return loader->remarks().size();
  };
  EXPECT_EQ(remarks(), 0U);
  views.air_below = 0.43;
  EXPECT_EQ(remarks(), 1U);
}

TEST_F(CubeLoader, SmallVolumesArePaddedByTheirBorderAndNamed) {
  const VolumeData small = make_volume("small", {2, 20, 6}), large = make_volume("large", {8, 20, 20});
  store({small, large});
  const auto loader = make_volume_loader(data_, plain_cubes({4, 20, 9}), {.batch_size = 2, .shuffle = false});
  const auto remarks = loader->remarks();
  ASSERT_EQ(remarks.size(), 1U);
  EXPECT_THAT(remarks[0], HasSubstr("1 volume is smaller than the cube of 4 x 20 x 9 voxels"));
  EXPECT_THAT(remarks[0], HasSubstr("small"));
  const auto batch = loader->next();  // "large" is the first by name
  const Tensor rows = torch::tensor({0, 0, 1, 1}), columns = torch::tensor({0, 0, 0, 1, 2, 3, 4, 5, 5});
  const Tensor expected = expected_pixels(small).index_select(0, rows).index_select(2, columns);
  EXPECT_TRUE(torch::allclose(unnormalised(batch->views[0].pixels[1][0]), expected, 0, 1e-6));
  const Tensor corner = batch->views[0].place[1].select(1, 3) / spacing_of(small);
  EXPECT_TRUE(torch::allclose(corner, torch::tensor({-1.0, 0.0, -2.0}, torch::kDouble)));
}

TEST_F(CubeLoader, SmallVolumesAreRefusedWhereTheyMayNotBePadded) {
  store({make_volume("small", {2, 20, 6}), make_volume("large", {8, 20, 20})});
  VolumeViewSpec views = plain_cubes({4, 20, 9});
  views.pad = false;
  const Failure failure = failure_of([&] { make_volume_loader(data_, views, {.batch_size = 1}); });
  EXPECT_EQ(failure.code, ExitCode::bad_request);
  EXPECT_THAT(failure.message, HasSubstr("small"));
  EXPECT_THAT(failure.message, HasSubstr("pad"));
}

TEST_F(CubeLoader, ImagesHaveNoCubes) {
  store({make_volume("a", {1, 20, 20}), make_volume("b", {1, 30, 30})});
  const Failure failure = failure_of([&] { make_volume_loader(data_, plain_cubes({1, 8, 8}), {.batch_size = 1}); });
  EXPECT_EQ(failure.code, ExitCode::bad_request);
  EXPECT_THAT(failure.message, HasSubstr("only images"));
}

TEST_F(CubeLoader, CubesOfASampleOverlap) {
  store({make_volume("a", {20, 60, 60})});
  VolumeViewSpec views = plain_cubes({8, 16, 16});
  views.count = 3, views.overlap = 0.4;
  const Tensor length = torch::tensor({8 * 2.5, 16 * 0.7, 16 * 0.8}, torch::kDouble);
  for (int64_t epoch = 0; epoch < 30; ++epoch) {
    const Batch batch = first_batch(views, 1, epoch);
    for (size_t i = 1; i < 3; ++i) {
      const Tensor shift = batch.views[i].place[0].select(1, 3) - batch.views[0].place[0].select(1, 3);
      EXPECT_GE((1 - shift.abs() / length).prod().item<double>(), 0.4 - 1e-9);
    }
  }
}

}  // namespace
}  // namespace ivory::data
