// What an epoch's numbers say, in words.
#include "train/findings.h"

#include <gmock/gmock.h>

#include <cmath>

namespace ivory::train {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Observation seen(double loss, std::map<std::string, double> diagnostics = {}) {
  return {.objective = "swav",
          .codes = Codes::sinkhorn,
          .weight_decay = 1e-4,
          .crop_scale = 0.4,
          .plateau = std::log(100.0),
          .prototypes = 100,
          .batch_size = 64,
          .terms = {{"swav", loss}},
          .diagnostics = std::move(diagnostics)};
}

TEST(Findings, ALossAtLnHIsSaidWithTheEpochsItLasted) {
  Findings findings;
  EXPECT_THAT(findings.after_epoch(seen(4.6)),
              ElementsAre(testing::AllOf(HasSubstr("objective 'swav': the loss 'swav' (4.6) sits at ln H = 4.605"),
                                         HasSubstr("for 1 epoch:"), HasSubstr("no better than a uniform guess"),
                                         HasSubstr("use fewer prototypes for this batch size, views that overlap"),
                                         HasSubstr("presets/small_medical.toml"))));
  EXPECT_THAT(findings.after_epoch(seen(4.64)), ElementsAre(HasSubstr("for 2 epochs:")));
  EXPECT_THAT(findings.after_epoch(seen(4.5)), IsEmpty());
  EXPECT_THAT(findings.after_epoch(seen(4.61)), ElementsAre(HasSubstr("for 1 epoch:")));
}

// What the objective does not have, and what the stage has already, is not among the advice.
TEST(Findings, TheAdviceFitsTheObjective) {
  const auto advice = [](Codes codes, SampleKind kind, bool larc) {
    auto stuck = seen(4.6);
    stuck.codes = codes;
    stuck.kind = kind;
    stuck.larc = larc;
    return Findings().after_epoch(stuck).at(0);
  };
  EXPECT_THAT(advice(Codes::sinkhorn, SampleKind::slice, false),
              HasSubstr("use fewer prototypes for this batch size, views that overlap (crops of at least 0.75 of the "
                        "slice), less weight decay (1e-6), LARC (larc = true), a smaller epsilon, prototypes that stay "
                        "fixed for longer (freeze_steps), a queue that lets more samples share the codes "
                        "(queue_length) or a higher learning rate after a short warm-up; "));
  EXPECT_THAT(
      advice(Codes::k_means, SampleKind::slice, true),
      HasSubstr("use fewer clusters, views that overlap (crops of at least 0.75 of the slice), less weight decay "
                "(1e-6) or a higher learning rate after a short warm-up; "));
  EXPECT_THAT(
      advice(Codes::k_means, SampleKind::volume, false),
      HasSubstr("use fewer clusters, views of a volume that differ less, less weight decay (1e-6), LARC (larc = "
                "true) or a higher learning rate after a short warm-up; "));
}

TEST(Findings, WhatIsSoAlreadyIsNoAdvice) {
  auto stuck = seen(4.6);
  stuck.weight_decay = 1e-6;
  stuck.crop_scale = 0.75;
  const std::string advice = Findings().after_epoch(stuck).at(0);
  EXPECT_THAT(advice, testing::Not(HasSubstr("weight decay")));
  EXPECT_THAT(advice, testing::Not(HasSubstr("overlap")));
  EXPECT_THAT(advice, HasSubstr("use fewer prototypes for this batch size, LARC"));
}

TEST(Findings, ALossAboveLnHIsSaidInOtherWords) {
  Findings findings;
  EXPECT_THAT(findings.after_epoch(seen(5.6)), IsEmpty()) << "fresh weights may begin there";
  EXPECT_THAT(findings.after_epoch(seen(5.5)),
              ElementsAre(testing::AllOf(HasSubstr("the loss 'swav' (5.5) is above ln H = 4.605"),
                                         HasSubstr("for 2 epochs: predictions are worse than a uniform guess"),
                                         HasSubstr("a lower learning rate"))));
  EXPECT_THAT(findings.after_epoch(seen(4.6)), ElementsAre(HasSubstr("for 1 epoch:")));
}

TEST(Findings, ALossThatHasHardlyLeftIsSaidInTheSecondHalf) {
  auto hardly = seen(0.92 * std::log(100.0));
  EXPECT_THAT(Findings().after_epoch(hardly), IsEmpty());
  hardly.late = true;
  EXPECT_THAT(Findings().after_epoch(hardly),
              ElementsAre(testing::AllOf(HasSubstr("is still within 10 % of ln H = 4.605"),
                                         HasSubstr("use fewer prototypes for this batch size, views that overlap"))));
  auto learned = seen(0.89 * std::log(100.0));
  learned.late = true;
  EXPECT_THAT(Findings().after_epoch(learned), IsEmpty());
}

TEST(Findings, OnePercentIsTheBorder) {
  Findings findings;
  const double plateau = std::log(100.0);
  EXPECT_THAT(findings.after_epoch(seen(plateau * 0.991)), testing::SizeIs(1));
  EXPECT_THAT(findings.after_epoch(seen(plateau * 0.989)), IsEmpty());
  EXPECT_THAT(findings.after_epoch(seen(plateau * 1.009)), ElementsAre(HasSubstr("sits at ln H")));
  EXPECT_THAT(findings.after_epoch(seen(plateau * 1.011)), IsEmpty());
  EXPECT_THAT(findings.after_epoch(seen(plateau * 1.011)), ElementsAre(HasSubstr("is above ln H")));
}

TEST(Findings, AnObjectiveWithoutAPlateauHasNone) {
  Findings findings;
  auto other = seen(0);
  other.plateau = 0;
  EXPECT_THAT(findings.after_epoch(other), IsEmpty());
}

TEST(Findings, CollapseOntoFewPrototypes) {
  Findings findings;
  EXPECT_THAT(findings.after_epoch(seen(2, {{"prototype_perplexity", 6.0}})),
              ElementsAre(HasSubstr("prototype_perplexity is 6 of 64 prototypes that a batch can reach")));
  EXPECT_THAT(findings.after_epoch(seen(2, {{"prototype_perplexity", 7.0}})), IsEmpty());
}

// Heads of 4 and 3000 clusters: the perplexity is the first one's, which has no more than 4.
TEST(Findings, ThePerplexityIsHeldAgainstTheClustersThatItCounts) {
  Findings findings;
  auto deep = seen(2, {{"prototype_perplexity", 3.9}});
  deep.codes = Codes::k_means;
  deep.plateau = (std::log(4.0) + std::log(3000.0)) / 2;
  deep.prototypes = 4;
  deep.batch_size = 1024;
  EXPECT_THAT(findings.after_epoch(deep), IsEmpty());
  deep.diagnostics["prototype_perplexity"] = 1.2;
  EXPECT_THAT(findings.after_epoch(deep),
              ElementsAre(testing::AllOf(HasSubstr("is 1.2 of 4 prototypes"), HasSubstr("fewer clusters or a lower"),
                                         testing::Not(HasSubstr("epsilon")))));
}

TEST(Findings, CollapsedFeatures) {
  Findings findings;
  EXPECT_THAT(findings.after_epoch(seen(2, {{"effective_rank", 1.5}})),
              ElementsAre(HasSubstr("the features lie on a line")));
  EXPECT_THAT(findings.after_epoch(seen(2, {{"effective_rank", 2.5}})), IsEmpty());
}

TEST(Findings, ScoresThatAreFlatAgainstEpsilon) {
  Findings findings;
  EXPECT_THAT(findings.after_epoch(seen(2, {{"score_spread", 0.1}})),
              ElementsAre(testing::AllOf(HasSubstr("differ by only 0.1 epsilon"), HasSubstr("epsilon of 0.1 times"))));
  EXPECT_THAT(findings.after_epoch(seen(2, {{"score_spread", 0.4}})), IsEmpty());
}

TEST(Findings, TermsAreCountedApart) {
  Findings findings;
  auto first = seen(4.6), second = seen(4.6);
  second.objective = "swav-2";
  findings.after_epoch(first);
  EXPECT_THAT(findings.after_epoch(second), ElementsAre(HasSubstr("for 1 epoch:")));
  EXPECT_THAT(findings.after_epoch(first), ElementsAre(HasSubstr("for 2 epochs:")));
}

}  // namespace
}  // namespace ivory::train
