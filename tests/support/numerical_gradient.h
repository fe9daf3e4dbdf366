#pragma once
// Autograd against central differences, in double.
#include <ivory/torch.h>

#include <algorithm>
#include <cmath>
#include <functional>

namespace ivory::test {

// Largest difference between the gradient of f() with respect to `leaf` (a contiguous double that f uses and that
// requires grad) and central differences, over at most `entries` evenly spread entries, relative to the largest of
// these numerical derivatives. A gradient that is wrong or missing gives a value near 1 or above.
inline double gradient_error(const std::function<torch::Tensor()>& f, torch::Tensor leaf, int64_t entries = 40,
                             double step = 1e-6) {
  const auto gradient = torch::autograd::grad({f()}, {leaf}, {}, std::nullopt, false, /*allow_unused=*/true)[0];
  if (!gradient.defined()) return 1;
  const auto flat = gradient.contiguous().view({-1});
  auto* values = leaf.data_ptr<double>();
  double worst = 0, largest = 0;
  const int64_t stride = std::max<int64_t>(1, leaf.numel() / entries);
  for (int64_t i = 0; i < leaf.numel(); i += stride) {
    const torch::NoGradGuard no_grad;
    const double kept = values[i];
    values[i] = kept + step;
    const double above = f().item<double>();
    values[i] = kept - step;
    const double below = f().item<double>();
    values[i] = kept;
    const double numerical = (above - below) / (2 * step);
    worst = std::max(worst, std::abs(numerical - flat[i].item<double>()));
    largest = std::max(largest, std::abs(numerical));
  }
  return largest > 0 ? worst / largest : 1;
}

}  // namespace ivory::test
