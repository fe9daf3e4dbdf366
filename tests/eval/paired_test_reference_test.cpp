#include <gtest/gtest.h>

#include <limits>

#include "eval/paired_test.h"
#include "support/errors.h"
#include "support/golden.h"

namespace ivory::eval {
namespace {

constexpr double exact = 1e-11;  // double precision

TEST(PairedTestReference, AgreesWithSciPy) {
  for (const auto& one : test::golden("paired_test")) {
    const auto a = one["a"].get<std::vector<double>>(), b = one["b"].get<std::vector<double>>();
    const PairedTest result = paired_t_test(a, b);
    EXPECT_NEAR(result.difference, one["difference"].get<double>(), exact);
    EXPECT_NEAR(result.t, one["t"].get<double>(), 1e-12 * std::abs(result.t));
    EXPECT_NEAR(result.p, one["p"].get<double>(), exact) << a.size() << " pairs";
  }
}

TEST(PairedTest, SwappingTheTwoTurnsTheSignOnly) {
  const std::vector<double> a = {0.6, 0.7, 0.65, 0.8}, b = {0.5, 0.72, 0.6, 0.7};
  const PairedTest forth = paired_t_test(a, b), back = paired_t_test(b, a);
  EXPECT_EQ(forth.t, -back.t);
  EXPECT_EQ(forth.p, back.p);
}

TEST(PairedTest, EqualDifferences) {
  const std::vector<double> a = {0.5, 0.25, 0.75}, higher = {0.75, 0.5, 1};
  EXPECT_EQ(paired_t_test(a, a).p, 1) << "no difference at all";
  EXPECT_EQ(paired_t_test(higher, a).t, std::numeric_limits<double>::infinity());
  EXPECT_NEAR(paired_t_test(higher, a).p, 0, exact);
}

TEST(PairedTest, NeedsTwoPairsOfFiniteNumbers) {
  const std::vector<double> one = {1}, two = {1, 2}, broken = {1, std::numeric_limits<double>::quiet_NaN()};
  EXPECT_NE(ivory::test::bad_request_of([&] { paired_t_test(one, one); }).find("at least 2 pairs"), std::string::npos);
  EXPECT_NE(ivory::test::bad_request_of([&] { paired_t_test(one, two); }).find("1 and 2"), std::string::npos);
  EXPECT_NE(ivory::test::bad_request_of([&] { paired_t_test(two, broken); }).find("finite"), std::string::npos);
}

}  // namespace
}  // namespace ivory::eval
