#include "data/volume_render.h"

#include <gtest/gtest.h>

#include <numbers>

#include "data/cache_fixtures.h"
#include "data/intensity.h"
#include "data/resample.h"
#include "data/volume_cache.h"

namespace ivory::data {
namespace {

using namespace testing;
using torch::Tensor;

// float32 interpolation of values in [0, 1] at places up to 20, then a division by 0.25.
constexpr double rounding = 3e-5;

GreyVolume grey(const Tensor& values, const std::array<double, 3>& spacing = {1, 1, 1}) {
  const Tensor flat = values.to(torch::kFloat32).contiguous();
  const auto* first = flat.data_ptr<float>();
  return {.extent = {values.size(0), values.size(1), values.size(2)},
          .spacing = spacing,
          .voxels = {first, first + flat.numel()}};
}

Tensor some_volume(torch::IntArrayRef shape) {
  torch::manual_seed(4);
  return torch::rand(shape);
}

// In [0, 1] again.
Tensor rendered(const GreyVolume& volume, const VolumeTransform& transform, int64_t frames, int64_t size,
                uint64_t stream = 0) {
  Tensor out = torch::empty({frames, size, size});
  CounterRandom random(1, 0, 0, stream);
  render_volume(volume, transform, {frames, size, size}, random,
                {out.data_ptr<float>(), static_cast<size_t>(out.numel())});
  return out * normal_deviation + normal_mean;
}

void expect_near(const Tensor& got, const Tensor& expected, double tolerance) {
  ASSERT_EQ(got.sizes(), expected.sizes());
  EXPECT_LE((got - expected).abs().max().item<double>(), tolerance);
}

// linear, align_corners = false: edges coincide.
Tensor interpolated(const Tensor& values, const std::vector<int64_t>& size) {
  namespace F = torch::nn::functional;
  return F::interpolate(values.unsqueeze(0).unsqueeze(0),
                        F::InterpolateFuncOptions().size(size).mode(torch::kTrilinear).align_corners(false))[0][0];
}

TEST(VolumeRender, WithoutATransformationItIsTheVolume) {
  const Tensor values = some_volume({7, 12, 12});
  expect_near(rendered(grey(values, {3, 0.5, 0.5}), {}, 7, 12), values, rounding);
}

TEST(VolumeRender, FlipsEachAxis) {
  const Tensor values = some_volume({5, 8, 8});
  for (size_t axis = 0; axis < 3; ++axis) {
    VolumeTransform transform;
    transform.flip[axis] = true;
    expect_near(rendered(grey(values), transform, 5, 8), values.flip(static_cast<int64_t>(axis)), rounding);
  }
}

TEST(VolumeRender, AQuarterTurnAboutEachAxisMovesVoxelsOntoVoxels) {
  const Tensor values = some_volume({9, 9, 9});
  const std::array<std::array<int64_t, 2>, 3> planes = {{{1, 2}, {0, 2}, {0, 1}}};
  for (size_t axis = 0; axis < 3; ++axis) {
    for (const int turns : {1, 2, 3, 4}) {
      VolumeTransform transform;
      transform.rotation[axis] = turns * std::numbers::pi / 2;
      expect_near(rendered(grey(values), transform, 9, 9), values.rot90(-turns, {planes[axis][0], planes[axis][1]}),
                  rounding);
    }
  }
}

TEST(VolumeRender, TurnsMillimetresNotVoxels) {
  // Slices are twice as thick: after a quarter turn, what was 4 slices fills 8 rows' length, seen at 8 × 8 × 8.
  const Tensor values = some_volume({4, 8, 8});
  VolumeTransform turn;
  turn.rotation[2] = std::numbers::pi / 2;  // in the plane of slices and rows
  const Tensor fine = rendered(grey(values, {2, 1, 1}), {}, 8, 8);
  expect_near(rendered(grey(values, {2, 1, 1}), turn, 8, 8), fine.rot90(-1, {0, 1}), rounding);
}

TEST(VolumeRender, TheSliceAxisIsResampledLinearlyAndNeverCropped) {
  for (const int64_t slices : {3, 8, 17, 1})
    for (const int64_t frames : {1, 5, 8, 20}) {
      const Tensor values = some_volume({slices, 6, 6});
      expect_near(rendered(grey(values), {}, frames, 6), interpolated(values, {frames, 6, 6}), rounding);
    }
}

TEST(VolumeRender, OneTransformationTurnsAllSlicesAlike) {
  const Tensor slice = some_volume({1, 12, 12});
  VolumeTransform transform{
      .flip = {false, true, false}, .rotation = {0.3, 0, 0}, .scale = 1.1, .blur = 0.8, .gamma = 1.3};
  const Tensor out = rendered(grey(slice.expand({6, 12, 12})), transform, 6, 12);
  for (int64_t frame = 1; frame < 6; ++frame) EXPECT_TRUE(torch::equal(out[frame], out[0])) << "frame " << frame;
  EXPECT_FALSE(torch::allclose(out[0], slice[0], 0, 0.01));
}

// Every voxel's place by matrices, the interpolation by torch.
TEST(VolumeRender, AnyTransformationIsOneTrilinearResampling) {
  const std::array<double, 3> spacing = {2.5, 0.8, 1.1}, extent = {7, 10, 13};
  const Tensor values = some_volume({7, 10, 13}).to(torch::kDouble);
  const VolumeTransform transform{.flip = {true, false, true}, .rotation = {0.2, -0.15, 0.1}, .scale = 0.9};
  constexpr int64_t frames = 6, size = 9;

  const auto turn = [](int64_t i, int64_t j, double angle) {
    Tensor m = torch::eye(3, torch::kDouble);
    m[i][i] = m[j][j] = std::cos(angle);
    m[i][j] = -std::sin(angle);
    m[j][i] = std::sin(angle);
    return m;
  };
  const auto row = [](double a, double b, double c) { return torch::tensor({a, b, c}, torch::kDouble); };
  const Tensor mm = row(spacing[0], spacing[1], spacing[2]), count = row(extent[0], extent[1], extent[2]);
  const Tensor output = row(frames, size, size);
  const Tensor rotation = turn(1, 2, 0.2).matmul(turn(0, 2, -0.15)).matmul(turn(0, 1, 0.1));
  const auto axes = torch::meshgrid({torch::arange(frames), torch::arange(size), torch::arange(size)}, "ij");
  const Tensor index = torch::stack({axes[0], axes[1], axes[2]}, -1).to(torch::kDouble);     // [F, S, S, 3]
  const Tensor place = (index - (output - 1) / 2) * count * mm / output;                     // mm from the centre
  const Tensor source = place.matmul(rotation.t()) / transform.scale * row(-1, 1, -1) / mm;  // voxels from the centre
  const Tensor normalised = source / ((count - 1) / 2);
  const Tensor expected = torch::grid_sampler(values.unsqueeze(0).unsqueeze(0), normalised.flip(-1).unsqueeze(0),
                                              /*bilinear*/ 0, /*border*/ 1, true)[0][0];
  expect_near(rendered(grey(values, spacing), transform, frames, size), expected.to(torch::kFloat32), rounding);
}

TEST(VolumeRender, ThickSlicesAreThinnedOutBeforeTheyAreResampled) {
  const Tensor values = some_volume({12, 6, 6});
  const VolumeTransform transform{.thickness = 3};
  expect_near(rendered(grey(values), transform, 12, 6), interpolated(interpolated(values, {4, 6, 6}), {12, 6, 6}),
              rounding);
}

// In one resampling, with whatever else turns it.
TEST(VolumeRender, AThinnedOutVolumeTurnsAsOneOfThickSlices) {
  const Tensor values = some_volume({12, 9, 11});
  VolumeTransform transform{.flip = {true, false, false}, .rotation = {0.2, -0.3, 0.15}, .scale = 1.2};
  const Tensor expected = rendered(grey(interpolated(values, {4, 9, 11}), {4.5, 1, 0.8}), transform, 10, 9);
  transform.thickness = 3;
  expect_near(rendered(grey(values, {1.5, 1, 0.8}), transform, 10, 9), expected, rounding);
}

TEST(VolumeRender, TwoFlipsAreNone) {
  const Tensor values = some_volume({5, 8, 8});
  for (const auto& flip : {std::array{true, false, true}, std::array{true, true, true}}) {
    const VolumeTransform transform{.flip = flip};
    expect_near(rendered(grey(rendered(grey(values), transform, 5, 8)), transform, 5, 8), values, 2 * rounding);
  }
}

TEST(VolumeRender, AScaleOfARampIsARampAsMuchFlatter) {
  const auto axis = [](int64_t n) { return torch::arange(n, torch::kFloat32) - static_cast<float>(n - 1) / 2; };
  const auto grid = torch::meshgrid({axis(6), axis(9), axis(9)}, "ij");
  const Tensor slope = 0.03 * grid[0] + 0.02 * grid[1] - 0.04 * grid[2];
  for (const double scale : {1.1, 2.0})
    expect_near(rendered(grey(0.5 + slope), {.scale = scale}, 6, 9), 0.5 + slope / scale, rounding);
}

TEST(VolumeRender, IntensitiesHaveTheirClosedForms) {
  const Tensor values = some_volume({4, 6, 6});
  expect_near(rendered(grey(values), {.gamma = 0.8}, 4, 6), values.pow(0.8), 1e-3);  // a table, good to 1e-3

  VolumeTransform biased;
  biased.bias = {0.05, -0.1, 0.1, 0.02, 0.03, -0.04, 0.05, 0.02, -0.06};
  const auto axis = [](int64_t n) { return (torch::arange(n, torch::kDouble) * 2 + 1) / n - 1; };
  const auto grid = torch::meshgrid({axis(4), axis(6), axis(6)}, "ij");
  const Tensor &z = grid[0], &y = grid[1], &x = grid[2];
  const auto& c = biased.bias;
  const Tensor field = 1 + c[0] * z + c[1] * y + c[2] * x + c[3] * z * z + c[4] * y * y + c[5] * x * x + c[6] * z * y +
                       c[7] * z * x + c[8] * y * x;
  expect_near(rendered(grey(values), biased, 4, 6), (values * field).clamp(0, 1).to(torch::kFloat32), rounding);

  const Tensor blurred = rendered(grey(values), {.blur = 0.9}, 4, 6);
  for (int64_t slice = 0; slice < 4; ++slice) {
    Tensor one = values[slice].clone();
    blur({one.data_ptr<float>(), 36}, 6, 6, 0.9);
    expect_near(blurred[slice], one, rounding);
  }
}

TEST(VolumeRender, NoiseIsGaussianAndOfItsStream) {
  const Tensor values = torch::full({8, 64, 64}, 0.5);
  const VolumeTransform transform{.noise = 0.05};
  const Tensor noise = rendered(grey(values), transform, 8, 64) - 0.5;
  const double count = static_cast<double>(noise.numel());
  EXPECT_NEAR(noise.mean().item<double>(), 0, 5 * 0.05 / std::sqrt(count));                  // five standard errors
  EXPECT_NEAR(noise.std().item<double>(), 0.05, 5 * 0.05 / std::sqrt(2 * count) + 1e-4);     // and the table's steps
  EXPECT_NEAR((noise.abs() > 0.1).to(torch::kDouble).mean().item<double>(), 0.0455, 0.005);  // beyond two sigma
  EXPECT_TRUE(torch::equal(rendered(grey(values), transform, 8, 64), noise + 0.5));
  EXPECT_FALSE(torch::equal(rendered(grey(values), transform, 8, 64, 1), noise + 0.5));
}

TEST(VolumeTransform, IsDrawnInItsRangesWithItsProbabilities) {
  const VolumeViewSpec spec{.flip = 0.3,
                            .rotation = 12,
                            .scale = 0.2,
                            .anisotropy = 0.25,
                            .noise = 0.4,
                            .blur = 0.6,
                            .bias_field = 0.5,
                            .gamma = 0.7};
  CounterRandom random(1, 2, 3, 4);
  constexpr int count = 4000;
  std::array<int, 8> times{};
  double largest_angle = 0, largest_scale = 0;
  for (int i = 0; i < count; ++i) {
    const VolumeTransform t = draw_transform(random, spec);
    for (size_t axis = 0; axis < 3; ++axis) {
      times[axis] += t.flip[axis];
      largest_angle = std::max(largest_angle, std::abs(t.rotation[axis]));
    }
    largest_scale = std::max(largest_scale, std::abs(t.scale - 1));
    times[3] += t.thickness != 1, times[4] += t.noise != 0, times[5] += t.blur != 0, times[7] += t.gamma != 1;
    double strength = 0;
    for (const double c : t.bias) strength += std::abs(c);
    times[6] += strength != 0;
    ASSERT_LE(strength, 0.4 + 1e-9);
    ASSERT_TRUE(t.thickness == 1 || (t.thickness >= 1.5 && t.thickness < 4));
    ASSERT_TRUE(t.noise >= 0 && t.noise < 0.1);
    ASSERT_TRUE(t.gamma >= 0.7 && t.gamma < 1.5);
  }
  const std::array<double, 8> expected = {0.3, 0.3, 0.3, 0.25, 0.4, 0.6, 0.5, 0.7};
  for (size_t i = 0; i < 8; ++i) {
    const double p = expected[i];
    EXPECT_NEAR(times[i], count * p, 5 * std::sqrt(count * p * (1 - p))) << "probability " << i;  // five deviations
  }
  EXPECT_LE(largest_angle, 12 * std::numbers::pi / 180);
  EXPECT_GT(largest_angle, 11.9 * std::numbers::pi / 180);
  EXPECT_LE(largest_scale, 0.2);
  EXPECT_GT(largest_scale, 0.198);
}

TEST(VolumeCache, HoldsTheVolumesUsedLastWithinItsLimit) {
  const TemporaryFolder folder;
  const VolumeData a = make_volume("a", {4, 16, 16}), b = make_volume("b", {4, 16, 16});
  write_cache(folder.path(), {a, b});
  const auto data = open_data_set(folder.path());
  constexpr int64_t one = 4 * 16 * 16 * 4;  // bytes
  VolumeCache cache(data, {4, 16, 16}, one);
  const auto first = cache.get(0);
  EXPECT_EQ(cache.get(0), first);
  EXPECT_EQ(cache.bytes(), one);
  cache.get(1);
  EXPECT_EQ(cache.bytes(), one);
  EXPECT_NE(cache.get(0), first);  // decoded again
  const Tensor got = torch::tensor(first->voxels).view({4, 16, 16});
  expect_near(got, expected_pixels(a), 1e-6);
  EXPECT_EQ(first->spacing, a.info.spacing);
}

TEST(VolumeCache, LargePlanesAreShrunkByAWholeFactor) {
  const TemporaryFolder folder;
  const VolumeData a = make_volume("a", {2, 25, 31});
  write_cache(folder.path(), {a});
  const GreyVolume small = decode_volume(*open_data_set(folder.path()), 0, {2, 8, 8});
  EXPECT_EQ(small.extent, (std::array<int64_t, 3>{2, 8, 10}));
  EXPECT_DOUBLE_EQ(small.spacing[1] * 8, a.info.spacing[1] * 25);
  EXPECT_DOUBLE_EQ(small.spacing[2] * 10, a.info.spacing[2] * 31);
  const Tensor expected =
      at::_upsample_bilinear2d_aa(expected_pixels(a).unsqueeze(0), {8, 10}, /*align_corners=*/false)[0];
  expect_near(torch::tensor(small.voxels).view({2, 8, 10}), expected, 1e-5);
}

}  // namespace
}  // namespace ivory::data
