#include <gtest/gtest.h>
#include <ivory/random.h>

#include <cmath>
#include <set>

namespace ivory {
namespace {

using Words = std::array<uint32_t, 4>;

// The known answers that the authors' Random123 publishes for philox4x32 with ten rounds.
TEST(Philox, GivesThePublishedAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox({ones, ones, ones, ones}, {ones, ones}), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(CounterRandom, IsAFunctionOfItsKeyAlone) {
  CounterRandom first(7, 3, 12, 1), again(7, 3, 12, 1);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(first.bits(), again.bits());
}

TEST(CounterRandom, EveryPartOfTheKeyMatters) {
  std::set<uint32_t> firsts;
  for (const auto& key : std::vector<std::array<uint64_t, 4>>{
           {1, 1, 1, 1}, {2, 1, 1, 1}, {1, 2, 1, 1}, {1, 1, 2, 1}, {1, 1, 1, 2}, {1, 0, 0, 0}, {0, 1, 0, 0}})
    firsts.insert(CounterRandom(key[0], key[1], key[2], key[3]).bits());
  EXPECT_EQ(firsts.size(), 7U);
}

TEST(CounterRandom, BlocksOfAStreamDiffer) {
  CounterRandom random(1, 2, 3, 4);
  std::set<uint32_t> words;
  for (int i = 0; i < 4096; ++i) words.insert(random.bits());
  EXPECT_GE(words.size(), 4094U);  // 4096 words of 2^32 coincide with a probability of 0.2 %
}

// χ² over 64 cells with 63 degrees of freedom exceeds 120 with a probability below 1e-5.
TEST(CounterRandom, UniformNumbersAreUniform) {
  constexpr int cells = 64, count = 64'000;
  std::array<int, cells> histogram{};
  CounterRandom random(11, 0, 0, 0);
  for (int i = 0; i < count; ++i) {
    const double x = random.uniform();
    ASSERT_TRUE(x >= 0 && x < 1);
    ++histogram[static_cast<size_t>(x * cells)];
  }
  double chi2 = 0;
  for (const int n : histogram) chi2 += std::pow(n - count / cells, 2) / (count / cells);
  EXPECT_LT(chi2, 120);
  EXPECT_GT(chi2, 20);  // suspiciously even otherwise
}

// The first number of neighbouring streams: what matters to augmentations.
TEST(CounterRandom, FirstNumbersOfNeighbouringStreamsAreUncorrelated) {
  constexpr int count = 20'000;
  double sum = 0, product = 0, previous = 0.5;
  for (int sample = 0; sample < count; ++sample) {
    const double x = CounterRandom(5, 0, static_cast<uint64_t>(sample), 0).uniform();
    sum += x;
    product += (x - 0.5) * (previous - 0.5);
    previous = x;
  }
  EXPECT_NEAR(sum / count, 0.5, 5 * std::sqrt(1.0 / 12 / count));
  EXPECT_NEAR(product / count, 0, 5.0 / 12 / std::sqrt(count));  // five standard errors
}

TEST(CounterRandom, BelowReachesEveryValueAlike) {
  constexpr int bound = 7, count = 70'000;
  std::array<int, bound> histogram{};
  CounterRandom random(3, 1, 4, 1);
  for (int i = 0; i < count; ++i) {
    const int64_t value = random.below(bound);
    ASSERT_TRUE(value >= 0 && value < bound);
    ++histogram[static_cast<size_t>(value)];
  }
  for (const int n : histogram) EXPECT_NEAR(n, count / bound, 5 * std::sqrt(count / bound));
}

TEST(CounterRandom, NormalNumbersHaveMeanZeroAndDeviationOne) {
  constexpr int count = 50'000;
  CounterRandom random(9, 9, 9, 9);
  double sum = 0, squares = 0, fourth = 0;
  for (int i = 0; i < count; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  EXPECT_NEAR(sum / count, 0, 5 / std::sqrt(count));
  EXPECT_NEAR(squares / count, 1, 5 * std::sqrt(2.0 / count));
  EXPECT_NEAR(fourth / count, 3, 5 * std::sqrt(96.0 / count));  // Var[x⁴] = 96
}

TEST(Mix, DependsOnBothArgumentsAndTheirOrder) {
  EXPECT_NE(mix(1, 2), mix(2, 1));
  EXPECT_NE(mix(1, 2), mix(1, 3));
  EXPECT_EQ(mix(1, 2), mix(1, 2));
}

}  // namespace
}  // namespace ivory
