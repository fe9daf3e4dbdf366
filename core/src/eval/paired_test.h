#pragma once
// Whether two columns of numbers that were measured in pairs differ.

#include <span>

namespace ivory::eval {

struct PairedTest {
  double difference = 0;  // mean of a − b
  double t = 0;           // Student's; ±infinity when all pairs differ by the same amount, 0 when none differs
  double p = 1;           // two-sided: P(|T| ≥ |t|) with N − 1 degrees of freedom, if the true mean difference is 0
};

// Student's paired t-test (Gosset 1908). a, b [N] of one length, N ≥ 2, finite.
PairedTest paired_t_test(std::span<const double> a, std::span<const double> b);

}  // namespace ivory::eval
