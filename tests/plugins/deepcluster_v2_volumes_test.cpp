// DeepCluster-v2 on volumes with the model "image-volume": the paper's 3D agreement with its codes.
#include "support/errors.h"
#include "support/golden.h"
#include "support/plugins.h"
#include "support/stage.h"

namespace {

using ivory::Objective;
using ivory::SampleKind;
using ivory::test::bad_request_of;
using ivory::test::stage;
using ivory::test::two_views;
using testing::AllOf;
using testing::HasSubstr;
using torch::Tensor;

ivory::StageContext stage_with_volumes() {
  auto made = stage(0, 3, 3);
  made.for_each_batch = [](ivory::Tail, const auto& visit) { visit(two_views()); };
  return made;
}

std::shared_ptr<Objective> agreement(std::vector<int64_t> clusters = {2, 3, 2}) {
  const auto model = ivory::test::small_model();
  torch::manual_seed(2);
  auto made = ivory::test::make<Objective>("deepcluster-v2", {{"clusters", std::move(clusters)}},
                                           {.on = SampleKind::volume, .width = 16, .samples = 3, .model = model.get()});
  made->to(torch::kDouble);
  return made;
}

Tensor total(const ivory::LossTerms& terms) {
  EXPECT_EQ(terms.size(), 1U);
  EXPECT_EQ(terms[0].first, "deepcluster_v2");
  return terms[0].second;
}

TEST(DeepClusterV2OnVolumes, FollowsItsEquations) {
  auto model = ivory::test::small_model();
  auto objective = agreement();
  objective->before_training(*model, stage_with_volumes());
  objective->before_epoch(*model, stage_with_volumes());
  const auto batch = two_views();
  auto buffers = objective->named_buffers();
  const auto z = model->embed(torch::cat(ivory::pixels_of(batch))).pooled;
  EXPECT_TRUE(torch::allclose(buffers["clustering.bank"].flatten(0, 1), z, 0, 1e-9));  // as training sees them
  Tensor expected = torch::zeros({}, torch::kDouble);
  for (int64_t head = 0; head < 3; ++head) {
    const auto log_p = (z.matmul(buffers["clustering.centroids_" + std::to_string(head)].t()) / 0.1).log_softmax(1);
    const auto targets = buffers["clustering.assignments"][head].to(torch::kLong).repeat({2});
    expected = expected - log_p.gather(1, targets.unsqueeze(1)).mean() / 3;
  }
  EXPECT_NEAR(total(objective->forward(*model, batch)).item<double>(), expected.item<double>(), 1e-10);
}

TEST(DeepClusterV2OnVolumes, TrainsTheWholeModelAndNothingElse) {
  auto model = ivory::test::small_model();
  auto objective = agreement();
  EXPECT_TRUE(objective->parameters().empty());
  objective->before_epoch(*model, stage_with_volumes());
  objective->before_step(*model, stage_with_volumes());
  total(objective->forward(*model, two_views())).backward();
  objective->after_step(*model, stage_with_volumes());
  for (const char* name : {"intra.conv1.weight", "projection.weight", "inter.positions"}) {
    EXPECT_GT(model->named_parameters()[name].grad().abs().max().item<double>(), 0) << name;
  }
  ASSERT_NE(objective->clusters(), nullptr);
  EXPECT_EQ(objective->clusters()->scores(*model, two_views().views[0].pixels).sizes(), (std::vector<int64_t>{3, 2}));
}

TEST(DeepClusterV2OnVolumes, SaysWhatDoesNotFit) {
  EXPECT_THAT(bad_request_of([] {
                agreement({4, 4, 4});
              }),
              AllOf(HasSubstr("4 clusters of 3 samples"), HasSubstr("at most 3")));
}

}  // namespace
