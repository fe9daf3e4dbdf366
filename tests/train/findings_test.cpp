// What an epoch's numbers say, in words.
#include "train/findings.h"

#include <gmock/gmock.h>

#include <cmath>

namespace ivory::train {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// Of an objective with ln 100 = 4.605 as its chance.
Observation seen(double loss, std::map<std::string, Observation::Measured> measures = {}) {
  return {.objective = "swav",
          .chance = std::log(100.0),
          .remedies = {"fewer prototypes", "LARC", "patience"},
          .terms = {{"swav", loss}},
          .measures = std::move(measures)};
}

TEST(Findings, ALossAtChanceIsSaidWithTheEpochsItLasted) {
  Findings findings;
  EXPECT_THAT(findings.after_epoch(seen(4.6)),
              ElementsAre(AllOf(HasSubstr("objective 'swav'"), HasSubstr("the loss 'swav' (4.6)"), HasSubstr("(4.605"),
                                HasSubstr("1 epoch:"), HasSubstr("no better than a uniform guess"),
                                HasSubstr("use fewer prototypes, LARC or patience;"))));
  EXPECT_THAT(findings.after_epoch(seen(4.64)), ElementsAre(HasSubstr("2 epochs:")));
  EXPECT_THAT(findings.after_epoch(seen(4.5)), IsEmpty());
  EXPECT_THAT(findings.after_epoch(seen(4.61)), ElementsAre(HasSubstr("1 epoch:")));
}

TEST(Findings, WithoutRemediesNothingIsAdvised) {
  auto stuck = seen(4.6);
  stuck.remedies.clear();
  EXPECT_THAT(Findings().after_epoch(stuck), ElementsAre(AllOf(HasSubstr("at chance"), Not(HasSubstr(", use")))));
}

TEST(Findings, ALossAboveChanceIsSaidInOtherWords) {
  Findings findings;
  EXPECT_THAT(findings.after_epoch(seen(5.6)), IsEmpty()) << "fresh weights may begin there";
  EXPECT_THAT(findings.after_epoch(seen(5.5)),
              ElementsAre(AllOf(HasSubstr("the loss 'swav' (5.5)"), HasSubstr("above chance"), HasSubstr("2 epochs"),
                                HasSubstr("worse than a uniform guess"), HasSubstr("a lower learning rate"))));
  EXPECT_THAT(findings.after_epoch(seen(4.6)), ElementsAre(HasSubstr("1 epoch:")));
}

TEST(Findings, ALossThatHasHardlyLeftIsSaidInTheSecondHalf) {
  auto hardly = seen(0.92 * std::log(100.0));
  EXPECT_THAT(Findings().after_epoch(hardly), IsEmpty());
  hardly.late = true;
  EXPECT_THAT(Findings().after_epoch(hardly),
              ElementsAre(AllOf(HasSubstr("within 10 % of chance"), HasSubstr("use fewer prototypes, LARC"))));
  auto learned = seen(0.89 * std::log(100.0));
  learned.late = true;
  EXPECT_THAT(Findings().after_epoch(learned), IsEmpty());
}

TEST(Findings, OnePercentIsTheBorder) {
  Findings findings;
  const double chance = std::log(100.0);
  EXPECT_THAT(findings.after_epoch(seen(chance * 0.991)), testing::SizeIs(1));
  EXPECT_THAT(findings.after_epoch(seen(chance * 0.989)), IsEmpty());
  EXPECT_THAT(findings.after_epoch(seen(chance * 1.009)), ElementsAre(HasSubstr("at chance")));
  EXPECT_THAT(findings.after_epoch(seen(chance * 1.011)), IsEmpty());
  EXPECT_THAT(findings.after_epoch(seen(chance * 1.011)), ElementsAre(HasSubstr("above chance")));
}

TEST(Findings, AnObjectiveWithoutAChanceHasNone) {
  Findings findings;
  auto other = seen(0);
  other.chance = 0;
  EXPECT_THAT(findings.after_epoch(other), IsEmpty());
}

TEST(Findings, AMeasureIsSaidWhereItIsLow) {
  const auto findings_of = [](Observation::Measured measured) {
    return Findings().after_epoch(seen(2, {{"effective_rank", measured}}));
  };
  EXPECT_THAT(findings_of({.value = 1.5, .low = 2, .if_low = "the features lie on a line"}),
              ElementsAre(AllOf(HasSubstr("objective 'swav'"), HasSubstr("effective_rank is 1.5"),
                                HasSubstr("the features lie on a line"))));
  EXPECT_THAT(findings_of({.value = 2, .low = 2, .if_low = "the features lie on a line"}), IsEmpty());
  EXPECT_THAT(findings_of({.value = -5}), IsEmpty()) << "any value will do";
  EXPECT_THAT(findings_of({.value = std::nan(""), .low = 2, .if_low = "low"}), IsEmpty());
}

TEST(Findings, TermsAreCountedApart) {
  Findings findings;
  auto first = seen(4.6), second = seen(4.6);
  second.objective = "swav-2";
  findings.after_epoch(first);
  EXPECT_THAT(findings.after_epoch(second), ElementsAre(HasSubstr("1 epoch:")));
  EXPECT_THAT(findings.after_epoch(first), ElementsAre(HasSubstr("2 epochs:")));
}

}  // namespace
}  // namespace ivory::train
