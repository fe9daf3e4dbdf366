// Perturbations of cubes: closed forms, what they keep, how often they happen.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ivory/nn/perturb.h>

#include <cmath>
#include <set>

#include "support/errors.h"
#include "support/golden.h"

namespace ivory::nn {
namespace {

using test::bad_request_of;
using testing::HasSubstr;
using torch::Tensor;

constexpr std::array<int64_t, 3> genesis = {32, 64, 64};

// Every voxel another value in (0, 1).
Tensor ramp(torch::IntArrayRef sides) {
  const Tensor all = torch::arange(1, torch::zeros(sides).numel() + 1, torch::kDouble);
  return (all / (all.numel() + 1)).view(sides).to(torch::kFloat32);
}

Tensor random_cube(torch::IntArrayRef sides = genesis) {
  return test::fill(sides, 5, 0.5, 0.5).to(torch::kFloat32);
}

CounterRandom stream(uint64_t sample = 0, uint64_t epoch = 0) {
  return {1, epoch, sample, 0};
}

// --- Symmetries ------------------------------------------------------------------------------------------------------

TEST(Perturb, FlipsAndTurnsAreThoseOfTorch) {
  for (const Flips& flips : {Flips{true, false, false}, Flips{false, true, true}, Flips{true, true, true}}) {
    Tensor cube = ramp({4, 5, 6});
    std::vector<int64_t> axes;
    for (int64_t i = 0; i < 3; ++i) {
      if (flips[static_cast<size_t>(i)]) axes.push_back(i);
    }
    const Tensor expected = cube.flip(axes);
    flip(cube_of(cube), flips);
    EXPECT_TRUE(torch::equal(cube, expected)) << axes;
  }
  for (int64_t k = -1; k < 5; ++k) {
    for (const auto& [from, to] : {std::pair<int64_t, int64_t>{0, 1}, {1, 0}, {1, 2}, {2, 0}}) {
      Tensor cube = ramp({5, 5, 5});
      const Tensor expected = torch::rot90(cube, k, {from, to});
      quarter_turns(cube_of(cube), k, static_cast<size_t>(from), static_cast<size_t>(to));
      EXPECT_TRUE(torch::equal(cube, expected)) << k << " from " << from << " to " << to;
    }
  }
  Tensor flat = ramp({2, 4, 6});
  const Tensor half = torch::rot90(flat, 2, {0, 2});
  quarter_turns(cube_of(flat), 2, 0, 2);
  EXPECT_TRUE(torch::equal(flat, half)) << "a half turn needs no equal sides";
  EXPECT_THAT(bad_request_of([&] { quarter_turns(cube_of(flat), 1, 1, 2); }), HasSubstr("2 x 4 x 6"));
}

// P(no round) = 0.6. Of 20,000 draws the standard deviation of a share is below 0.0036.
TEST(Perturb, FlipsComeAsOftenAsTheyShould) {
  int64_t none = 0, along_z = 0, released_along_z = 0, released_none = 0;
  constexpr int64_t draws = 20000;
  for (uint64_t i = 0; i < draws; ++i) {
    CounterRandom one = stream(i), other = stream(i, 7), first = stream(i);
    none += first.chance(0.4) ? 0 : 1;
    along_z += draw_flips(one, 0.4, false)[0] ? 1 : 0;
    const Flips flips = draw_flips(other, 0.4, true);
    released_along_z += flips[0] ? 1 : 0;
    released_none += flips == Flips{} ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(none) / draws, 0.6, 0.015);
  // One round: 1/3; two rounds: 4/9; three: (1 − (1/3)³)/2 = 13/27, with P 0.24, 0.096, 0.064.
  EXPECT_NEAR(static_cast<double>(along_z) / draws, 0.24 / 3 + 0.096 * 4 / 9 + 0.064 * 13 / 27, 0.015);
  EXPECT_EQ(released_along_z, 0) << "the release never flips z";
  EXPECT_GT(static_cast<double>(released_none) / draws, 0.6) << "a flip of the channels' axis is none";
}

TEST(Perturb, MovingByNothingIsTheIdentityAndFlipsAreFlips) {
  Tensor cube = random_cube({8, 10, 12});
  const Tensor kept = cube.clone();
  move(cube_of(cube), {});
  EXPECT_TRUE(torch::equal(cube, kept));
  move(cube_of(cube), {.flips = {false, false, true}});
  EXPECT_TRUE(torch::allclose(cube, kept.flip({2}), 0, 1e-6));
}

// A quarter about z is a turn in the plane of y and x.
TEST(Perturb, MovingByAQuarterIsATurn) {
  Tensor cube = random_cube({4, 9, 9});
  const Tensor kept = cube.clone();
  move(cube_of(cube), {.angle = {M_PI / 2, 0, 0}});
  EXPECT_TRUE(torch::allclose(cube, torch::rot90(kept, 1, {1, 2}), 0, 1e-5) ||
              torch::allclose(cube, torch::rot90(kept, -1, {1, 2}), 0, 1e-5));
}

TEST(Perturb, CutsAreTheirBoxes) {
  const Tensor cube = random_cube({8, 10, 12});
  Tensor out = torch::empty({3, 4, 5});
  cut(cube_of(cube), {2, 1, 6}, {3, 4, 5}, cube_of(out));
  EXPECT_TRUE(torch::allclose(out, cube.slice(0, 2, 5).slice(1, 1, 5).slice(2, 6, 11), 0, 1e-6));
  cut(cube_of(cube), {0, 0, 0}, {6, 8, 10}, cube_of(out));
  const Tensor means = torch::avg_pool3d(cube.slice(0, 0, 6).slice(1, 0, 8).slice(2, 0, 10).unsqueeze(0), 2)[0];
  EXPECT_TRUE(torch::allclose(out, means, 0, 1e-5)) << "half as large: between the voxels";
}

// --- Intensities -----------------------------------------------------------------------------------------------------

float mapped(const Bezier& curve, float value) {
  Tensor one = torch::full({1, 1, 1}, value);
  map_intensities(cube_of(one), curve);
  return one.item<float>();
}

TEST(Perturb, BezierCurvesHaveTheirClosedForms) {
  const Bezier steep{0, 1, 0, 1, false}, steep_falling{0, 1, 0, 1, true};
  EXPECT_NEAR(mapped(steep, 0.125F), 0.875, 1e-6);
  EXPECT_NEAR(mapped(steep, 0.5F), 0.99122, 1e-5);
  EXPECT_NEAR(mapped(steep_falling, 0.125F), 0.875, 1e-6);
  EXPECT_NEAR(mapped(steep_falling, 0.5F), 0.5, 1e-6);
  EXPECT_NEAR(mapped(steep_falling, 0.875F), 0.125, 1e-6);
  const Bezier straight{1.0 / 3, 1.0 / 3, 2.0 / 3, 2.0 / 3, false};
  Bezier falling = straight;
  falling.falling = true;
  for (const float v : {0.0F, 0.01F, 0.3F, 0.77F, 1.0F}) {
    EXPECT_NEAR(mapped(straight, v), v, 1e-6);
    EXPECT_NEAR(mapped(falling, v), 1 - v, 1e-6);
  }
}

TEST(Perturb, CurvesAreMonotoneClampAndKeepNaN) {
  for (uint64_t i = 0; i < 200; ++i) {
    CounterRandom random = stream(i);
    const Bezier curve = Bezier::draw(random);
    Tensor values = torch::linspace(-0.2, 1.2, 400).view({1, 1, 400});
    map_intensities(cube_of(values), curve);
    const Tensor steps = values.slice(2, 1) - values.slice(2, 0, -1);
    EXPECT_TRUE(((curve.falling ? -steps : steps) >= -1e-6).all().item<bool>());
    EXPECT_EQ(values.min().item<float>(), 0);
    EXPECT_EQ(values.max().item<float>(), 1);
  }
  EXPECT_TRUE(std::isnan(mapped({}, std::nanf(""))));
}

TEST(Perturb, ABlurKeepsConstantsAndTheMean) {
  Tensor constant = torch::full(genesis, 0.3F);
  blur(cube_of(constant), 1.5);
  EXPECT_TRUE(torch::allclose(constant, torch::full(genesis, 0.3F), 0, 1e-6));
  Tensor cube = random_cube();
  const double mean = cube.mean().item<double>(), deviation = cube.std().item<double>();
  blur(cube_of(cube), 1.5);
  EXPECT_NEAR(cube.mean().item<double>(), mean, 1e-5);
  EXPECT_LT(cube.std().item<double>(), 0.3 * deviation);
}

// --- Local structure -------------------------------------------------------------------------------------------------

// The expected number of windows over an interior voxel is 10,000 · E(volume) / 131,072, so that e^(−245000/131072) of
// them lie in none; a voxel that a permutation left in place is unchanged too, which a few per cent are.
TEST(Perturb, ShufflingLeavesTheExpectedShareAlone) {
  Tensor cube = ramp(genesis);
  const Tensor kept = cube.clone();
  CounterRandom random = stream();
  shuffle(cube_of(cube), 10000, random);
  const Tensor inside = (cube == kept).slice(0, 3, -3).slice(1, 6, -6).slice(2, 6, -6);
  const double unchanged = inside.to(torch::kDouble).mean().item<double>();
  EXPECT_GT(unchanged, 0.15);
  EXPECT_LT(unchanged, 0.154 + 0.09);
  // Values stay near their place: within a window.
  const Tensor from = (cube.to(torch::kDouble) * (cube.numel() + 1)).round().to(torch::kLong) - 1;
  const Tensor x = from.remainder(64), here = torch::arange(64).view({1, 1, 64});
  EXPECT_LE((x - here).abs().max().item<int64_t>(), 5);
  EXPECT_TRUE(std::isfinite(cube.sum().item<double>()));
}

TEST(Perturb, OneWindowIsPermuted) {
  for (uint64_t i = 0; i < 50; ++i) {
    Tensor cube = ramp({20, 30, 40});
    const Tensor kept = cube.clone();
    CounterRandom random = stream(i);
    shuffle(cube_of(cube), 1, random);
    EXPECT_TRUE(torch::equal(std::get<0>(cube.flatten().sort()), kept.flatten())) << "one window keeps the histogram";
    EXPECT_LE((cube != kept).sum().item<int64_t>(), 2 * 3 * 4);
  }
}

TEST(Perturb, AConstantCubeIsAFixedPoint) {
  Tensor cube = torch::full(genesis, 0.425F);
  const Tensor kept = cube.clone();
  CounterRandom random = stream();
  shuffle(cube_of(cube), 1000, random);
  flip(cube_of(cube), {true, true, true});
  EXPECT_TRUE(torch::equal(cube, kept));
  elastic(cube_of(cube), 991, 8, random);
  EXPECT_TRUE(torch::allclose(cube, kept, 0, 1e-6));
}

TEST(Perturb, PaintingTakesTheBoxesOfItsSides) {
  double in = 0, out = 0;
  constexpr int64_t cubes = 2000;
  for (uint64_t i = 0; i < cubes; ++i) {
    Tensor cube = torch::zeros(genesis);
    CounterRandom random = stream(i);
    const auto boxes = paint_in(cube_of(cube), 0, 5, random);
    in += static_cast<double>(boxes.size()) / cubes;
    for (const CubeBox& box : boxes) {
      for (size_t axis = 0; axis < 3; ++axis) {
        EXPECT_GE(box.sides[axis], axis == 0 ? 5 : 10);
        EXPECT_LE(box.sides[axis], axis == 0 ? 10 : 21);
        EXPECT_GE(box.start[axis], 3);
        EXPECT_LE(box.start[axis] + box.sides[axis], genesis[axis] - 3);
      }
    }
    if (i >= 300) continue;
    const auto windows = paint_out(cube_of(cube), 5, random);
    out += static_cast<double>(windows.size()) / 300;
    for (const CubeBox& box : windows) {
      EXPECT_GE(box.sides[0], 14);
      EXPECT_LE(box.sides[0], 19);
      EXPECT_GE(box.sides[2], 28);
      EXPECT_LE(box.sides[2], 37);
    }
  }
  EXPECT_NEAR(in, 4.298, 0.08) << "standard deviation 1.26 / √2000";
  EXPECT_NEAR(out, 4.524, 0.25) << "standard deviation 1 / √300";
}

TEST(Perturb, OutPaintingRestoresAtLeastItsSmallestWindow) {
  for (uint64_t i = 0; i < 20; ++i) {
    Tensor cube = random_cube();
    const Tensor kept = cube.clone();
    CounterRandom random = stream(i);
    paint_out(cube_of(cube), 5, random);
    EXPECT_GE((cube == kept).sum().item<int64_t>(), 28 * 28 * 14);
    EXPECT_LT((cube == kept).sum().item<int64_t>(), cube.numel() / 2 + cube.numel() / 4);
    EXPECT_GE(cube.min().item<float>(), 0);
    EXPECT_LT(cube.max().item<float>(), 1);
  }
}

// Displacements are 3.79 voxels rms away from the borders: of a ramp along x, whose values tell the places.
TEST(Perturb, ElasticDisplacementsHaveTheirSize) {
  double squares = 0;
  constexpr int64_t cubes = 6;
  for (uint64_t i = 0; i < cubes; ++i) {
    Tensor cube = torch::arange(96, torch::kFloat32).view({1, 1, 96}).expand({96, 96, 96}).contiguous();
    const Tensor place = cube.clone();
    CounterRandom random = stream(i);
    elastic(cube_of(cube), 991, 8, random);
    const Tensor shift = (cube - place).slice(0, 33, -33).slice(1, 33, -33).slice(2, 33, -33);
    squares += shift.square().mean().item<double>() / cubes;
  }
  // A smoothing of 8 voxels leaves some dozen independent shifts in each cube.
  EXPECT_NEAR(std::sqrt(squares), 3.79, 0.7);
  Tensor cube = random_cube();
  const Tensor kept = cube.clone();
  CounterRandom random = stream();
  elastic(cube_of(cube), 0, 8, random);
  EXPECT_TRUE(torch::equal(cube, kept)) << "an amplitude of 0";
}

TEST(Perturb, CutOutsReachTheirShareWithinTheirSides) {
  for (uint64_t i = 0; i < 100; ++i) {
    CounterRandom random = stream(i), again = stream(i);
    const double wanted = again.uniform(0, 0.3) * 96 * 96 * 96;
    const auto boxes = draw_cut_outs({96, 96, 96}, 0.3, random);
    double sum = 0;
    for (size_t b = 0; b < boxes.size(); ++b) {
      EXPECT_LT(sum, wanted) << "no more boxes than are needed";
      sum += static_cast<double>(boxes[b].voxels());
      for (size_t axis = 0; axis < 3; ++axis) {
        EXPECT_LE(boxes[b].start[axis], 91);
        EXPECT_LE(boxes[b].sides[axis], 23);
        EXPECT_LE(boxes[b].start[axis] + boxes[b].sides[axis], 96);
      }
    }
    EXPECT_GE(sum, wanted);
  }
}

// The release's boxes of one voxel, of cubes with sides below 40, became 0 / 0.
TEST(Perturb, NoiseOfSmallCubesIsFinite) {
  for (uint64_t i = 0; i < 100; ++i) {
    Tensor cube = torch::zeros({16, 16, 16});
    CounterRandom random = stream(i);
    for (const CubeBox& box : draw_cut_outs({16, 16, 16}, 0.3, random)) {
      EXPECT_GE(*std::ranges::min_element(box.sides), 2);
      fill_with_noise(cube_of(cube), box, random);
    }
    EXPECT_TRUE(torch::isfinite(cube).all().item<bool>());
    EXPECT_GE(cube.min().item<float>(), 0);
    EXPECT_LE(cube.max().item<float>(), 1);
  }
}

// --- The chain -------------------------------------------------------------------------------------------------------

// P(no corruption) = ½ · 0.1 · (0.1 + 0.18 · 0.05) = 0.00545: 22 of 4000, with a standard deviation of 4.7.
TEST(GenesisChain, LeavesFewCubesAlone) {
  GenesisChain chain;
  chain.shuffle_windows = 50;
  int64_t alone = 0;
  for (uint64_t i = 0; i < 4000; ++i) {
    Tensor clean = ramp({14, 14, 14}), perturbed = torch::empty_like(clean);
    CounterRandom random = stream(i);
    chain.apply(cube_of(clean), cube_of(perturbed), random);
    alone += torch::equal(clean, perturbed) ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(alone), 21.8, 24);
}

TEST(GenesisChain, IsAFunctionOfItsStream) {
  const GenesisChain chain;
  const auto run = [&](uint64_t sample, uint64_t epoch) {
    Tensor clean = random_cube(), perturbed = torch::empty_like(clean);
    CounterRandom random = stream(sample, epoch);
    chain.apply(cube_of(clean), cube_of(perturbed), random);
    return std::pair(clean, perturbed);
  };
  const auto [clean, perturbed] = run(3, 1);
  EXPECT_TRUE(torch::equal(perturbed, run(3, 1).second));
  EXPECT_FALSE(torch::equal(perturbed, run(4, 1).second));
  EXPECT_FALSE(torch::equal(perturbed, run(3, 2).second));
  EXPECT_TRUE(torch::equal(std::get<0>(clean.flatten().sort()), std::get<0>(random_cube().flatten().sort())))
      << "the target is flipped alone";
}

// --- Bad input -------------------------------------------------------------------------------------------------------

TEST(Perturb, SidesThatAreTooShortAreRefused) {
  CounterRandom random = stream();
  Tensor nine = torch::zeros({9, 64, 64}), thirteen = torch::zeros({32, 13, 64}), eight = torch::zeros({8, 8, 8});
  EXPECT_THAT(bad_request_of([&] { shuffle(cube_of(nine), 1, random); }), HasSubstr("at least 10 voxels"));
  EXPECT_THAT(bad_request_of([&] { paint_out(cube_of(thirteen), 1, random); }), HasSubstr("at least 14 voxels"));
  EXPECT_THAT(bad_request_of([&] { paint_in(cube_of(eight), 0, 5, random); }), HasSubstr("8 x 8 x 8"));
  EXPECT_THAT(bad_request_of([&] { draw_cut_outs({7, 8, 8}, 0.3, random); }), HasSubstr("7 x 8 x 8"));
}

TEST(Perturb, ViewsThatAreNoNumbersAreRefusedByName) {
  Sample sample{.kind = SampleKind::volume, .views = {{torch::zeros({1, 4, 4, 4})}}, .index = 17};
  EXPECT_TRUE(torch::equal(grey_views(sample, "me"), torch::full({1, 1, 4, 4, 4}, 0.5F)));
  sample.views[0].pixels[0][1][2][3] = std::nanf("");
  EXPECT_THAT(bad_request_of([&] { grey_views(sample, "me"); }),
              testing::AllOf(HasSubstr("me: voxel 27"), HasSubstr("sample 17"), HasSubstr("nan")));
  EXPECT_THAT(bad_request_of([&] { cube_of(torch::zeros({2, 2, 2}, torch::kDouble)); }), HasSubstr("float32"));
}

}  // namespace
}  // namespace ivory::nn
