#include "eval/paired_test.h"

#include <ivory/error.h>

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <vector>

namespace ivory::eval {
namespace {

// P(|T| ≥ |t|) of Student's distribution.
double two_sided(double t, double degrees) {
  if (std::isinf(t)) return 0;
  return 2 * boost::math::cdf(boost::math::complement(boost::math::students_t(degrees), std::abs(t)));
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
  test.p = two_sided(test.t, n - 1);
  return test;
}

}  // namespace ivory::eval
