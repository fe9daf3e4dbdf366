#include <ivory/nn/sliding_window.h>

#include "support/golden.h"

namespace {

using ivory::nn::SlidingWindow;
using ivory::test::fill;
using torch::Tensor;

// As tests/reference/sliding_window.py has it.
Tensor network(const Tensor& x) {
  const Tensor ramp = fill(x.sizes().slice(2), 3);
  return torch::cat({x * ramp, x.square() + x.mean({2, 3, 4}, /*keepdim=*/true)}, 1);
}

TEST(SlidingWindowReference, FollowsMonai) {
  for (const auto& expected : ivory::test::golden("sliding_window")["cases"]) {
    const auto size = expected["volume"].get<std::vector<int64_t>>();
    const SlidingWindow window{.roi = expected["window"].get<std::array<int64_t, 3>>(),
                               .overlap = expected["overlap"].get<double>(),
                               .gaussian = expected["mode"] == "gaussian",
                               .at_once = 3};
    const auto found = ivory::nn::sliding_window(fill({1, 1, size[0], size[1], size[2]}, 1), window, network);
    // MONAI's Gaussian weights are in single precision.
    ivory::test::expect_summary(found, expected["output"], window.gaussian ? 1e-6 : 1e-12,
                                expected.dump().substr(0, 80));
  }
}

}  // namespace
