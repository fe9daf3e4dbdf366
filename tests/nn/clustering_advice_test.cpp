// What helps a clustering loss that stays at chance; advice about settings is in tests/run/lint_test.cpp.
#include <gmock/gmock.h>
#include <ivory/nn/deep_cluster.h>
#include <ivory/nn/swapped_prediction.h>

namespace {

using ivory::SampleKind;
using ivory::StageFacts;
using ivory::nn::deep_cluster_remedies;
using ivory::nn::swapped_prediction_remedies;
using testing::ElementsAre;
using testing::HasSubstr;

StageFacts stuck(SampleKind on, bool larc) {
  return {.on = on, .larc = larc, .weight_decay = 1e-4, .least_crop = 0.4};
}

// What the objective does not have, and what the stage has already, is not among them.
TEST(ClusteringRemedies, FitTheObjective) {
  EXPECT_THAT(swapped_prediction_remedies(stuck(SampleKind::slice, false)),
              ElementsAre(HasSubstr("fewer prototypes"), HasSubstr("0.75"), HasSubstr("less weight decay"),
                          HasSubstr("LARC"), HasSubstr("smaller epsilon"), HasSubstr("freeze_steps"),
                          HasSubstr("queue_length"), HasSubstr("higher learning rate")));
  EXPECT_THAT(deep_cluster_remedies(stuck(SampleKind::slice, true)),
              ElementsAre(HasSubstr("fewer clusters"), HasSubstr("views that overlap"), HasSubstr("less weight decay"),
                          HasSubstr("higher learning rate")));
  EXPECT_THAT(deep_cluster_remedies(stuck(SampleKind::volume, false)),
              ElementsAre(HasSubstr("fewer clusters"), HasSubstr("views of a volume"), HasSubstr("less weight decay"),
                          HasSubstr("LARC"), HasSubstr("higher learning rate")));
}

TEST(ClusteringRemedies, LeaveOutWhatIsSoAlready) {
  auto facts = stuck(SampleKind::slice, false);
  facts.weight_decay = 1e-6;
  facts.least_crop = 0.75;
  EXPECT_THAT(deep_cluster_remedies(facts),
              ElementsAre(HasSubstr("fewer clusters"), HasSubstr("LARC"), HasSubstr("higher learning rate")));
}

}  // namespace
