// Perturbations against tests/reference/perturb.py, which draws the same numbers and works voxel by voxel.
#include <gtest/gtest.h>
#include <ivory/nn/perturb.h>

#include "support/golden.h"

namespace ivory::nn {
namespace {

using torch::Tensor;

const nlohmann::json& reference() {
  static const auto json = test::golden("perturb");
  return json;
}

Tensor cube() {
  return test::fill({16, 20, 24}, 5, 0.5, 0.5).to(torch::kFloat32);
}

CounterRandom stream(uint64_t sample, uint64_t view = 4) {
  return {1, 2, sample, view};
}

// Copies of voxels and uniform numbers are the same bits; the summary adds doubles in another order.
constexpr double copied = 1e-12, computed = 2e-6;  // relative to the norm, in float32

TEST(PerturbReference, Flips) {
  for (const bool released : {false, true}) {
    const auto& expected = reference().at("flips").at(released ? 1 : 0);
    for (uint64_t i = 0; i < expected.size(); ++i) {
      CounterRandom random(1, 2, i, 0);
      EXPECT_EQ(draw_flips(random, 0.4, released), expected.at(i).get<Flips>()) << i;
    }
  }
}

TEST(PerturbReference, Shuffle) {
  Tensor v = cube();
  CounterRandom random = stream(3);
  shuffle(cube_of(v), 300, random);
  test::expect_summary(v, reference().at("shuffle"), copied, "shuffle");
}

TEST(PerturbReference, Bezier) {
  for (const auto& one : reference().at("bezier")) {
    const auto& c = one.at("curve");
    Tensor v = cube();
    map_intensities(cube_of(v), {c[0], c[1], c[2], c[3], c[4].get<bool>()});
    test::expect_summary(v, one.at("out"), computed, c.dump());
  }
}

TEST(PerturbReference, Painting) {
  Tensor in = cube(), constant = cube(), out = cube();
  CounterRandom first = stream(5), second = stream(6), third = stream(7);
  paint_in(cube_of(in), 0, 5, first);
  paint_in(cube_of(constant), 1, 1, second, true);
  paint_out(cube_of(out), 5, third);
  test::expect_summary(in, reference().at("paint_in"), copied, "in");
  test::expect_summary(constant, reference().at("paint_constant"), copied, "constant");
  test::expect_summary(out, reference().at("paint_out"), copied, "out");
}

TEST(PerturbReference, Smoothing) {
  Tensor shifted = cube(), blurred = cube();
  CounterRandom random = stream(8);
  elastic(cube_of(shifted), 60, 2, random);
  blur(cube_of(blurred), 1.3);
  test::expect_summary(shifted, reference().at("elastic"), 1e-5, "elastic");  // places in float32
  test::expect_summary(blurred, reference().at("blur"), computed, "blur");
}

TEST(PerturbReference, Resampling) {
  Tensor moved = cube(), part = torch::empty({8, 16, 16});
  const Tensor whole = cube();
  move(cube_of(moved), {.flips = {false, true, true}, .angle = {0.2, -0.1, 0.15}, .scale = 1.1});
  cut(cube_of(whole), {1, 2, 3}, {12, 15, 19}, cube_of(part));
  test::expect_summary(moved, reference().at("move"), computed, "move");
  test::expect_summary(part, reference().at("cut"), computed, "cut");
}

TEST(PerturbReference, CutOuts) {
  Tensor v = cube();
  CounterRandom random = stream(9);
  for (const CubeBox& box : draw_cut_outs({16, 20, 24}, 0.3, random)) fill_with_noise(cube_of(v), box, random);
  // The reference draws its boxes first as well.
  test::expect_summary(v, reference().at("cut_out"), computed, "cut_out");
}

TEST(PerturbReference, GenesisChain) {
  GenesisChain chain;
  chain.shuffle_windows = 200;
  const auto& chains = reference().at("chains");
  for (uint64_t sample = 0; sample < chains.size(); ++sample) {
    Tensor clean = cube(), perturbed = torch::empty_like(clean);
    CounterRandom random = stream(sample, 9);
    chain.apply(cube_of(clean), cube_of(perturbed), random);
    test::expect_summary(clean, chains.at(sample).at("clean"), copied, "clean");
    test::expect_summary(perturbed, chains.at(sample).at("out"), computed, "perturbed");
  }
}

}  // namespace
}  // namespace ivory::nn
