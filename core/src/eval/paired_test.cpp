#include "eval/paired_test.h"

#include <ivory/error.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

namespace ivory::eval {
namespace {

// P(|T| ≥ |t|) of Student's distribution, in closed form for whole degrees of freedom (Abramowitz & Stegun 26.7.3–4):
// with θ = atan(|t| / √ν), 1 − sin θ (1 + ½ cos² θ + (1·3)/(2·4) cos⁴ θ + … up to cos^(ν−2) θ) for even ν, and
// 1 − 2/π (θ + sin θ (cos θ + ⅔ cos³ θ + (2·4)/(3·5) cos⁵ θ + … up to cos^(ν−2) θ)) for odd ν.
double two_sided(double t, int64_t degrees) {
  const double angle = std::atan(std::abs(t) / std::sqrt(static_cast<double>(degrees)));
  const double cosine = std::cos(angle);
  const bool odd = degrees % 2 == 1;
  double term = odd ? cosine : 1, sum = 0;
  for (int64_t power = odd ? 1 : 0; power <= degrees - 2; power += 2) {
    sum += term;
    term *= cosine * cosine * static_cast<double>(power + 1) / static_cast<double>(power + 2);
  }
  const double inside = std::sin(angle) * sum;
  return std::clamp(1 - (odd ? 2 / std::numbers::pi * (angle + inside) : inside), 0.0, 1.0);
}

}  // namespace

PairedTest paired_t_test(std::span<const double> a, std::span<const double> b) {
  IVORY_CHECK(a.size() == b.size() && a.size() >= 2, "paired t-test: expected at least 2 pairs, got ", a.size(),
              " and ", b.size(), " numbers");
  const auto n = static_cast<double>(a.size());
  std::vector<double> differences(a.size());
  std::transform(a.begin(), a.end(), b.begin(), differences.begin(), std::minus<>());
  PairedTest test;
  for (const double d : differences) test.difference += d / n;
  double squares = 0;
  for (const double d : differences) squares += (d - test.difference) * (d - test.difference);
  IVORY_CHECK(std::isfinite(squares), "paired t-test: expected finite numbers, got others");
  if (test.difference == 0) return test;
  const double error = std::sqrt(squares / (n - 1) / n);  // of the mean
  test.t =
      error > 0 ? test.difference / error : std::copysign(std::numeric_limits<double>::infinity(), test.difference);
  test.p = two_sided(test.t, static_cast<int64_t>(a.size()) - 1);
  return test;
}

}  // namespace ivory::eval
