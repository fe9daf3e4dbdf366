#include <ivory/nn/clustering.h>

#include <cmath>

#include "support/errors.h"
#include "support/golden.h"
#include "support/plugins.h"
#include "support/stage.h"

namespace {

using ivory::Batch;
using ivory::Objective;
using ivory::test::bad_request_of;
using ivory::test::fill;
using ivory::test::stage;
using testing::HasSubstr;
using torch::Tensor;

Batch two_views(int64_t volumes = 3) {
  Batch batch;
  batch.kind = ivory::SampleKind::volume;
  batch.views = {fill({volumes, 8, 1, 32, 32}, 1), fill({volumes, 8, 1, 32, 32}, 2)};
  batch.index = torch::arange(volumes);
  return batch;
}

std::shared_ptr<Objective> agreement(const ivory::test::Settings& more = {}, Objective::Context context = {}) {
  torch::manual_seed(2);
  context.token_width = 16;
  ivory::test::Settings settings = {{"prototypes", int64_t{5}}};
  settings.insert(settings.end(), more.begin(), more.end());
  auto made = ivory::test::make<Objective>("agreement-3d", settings, context);
  made->to(torch::kDouble);
  return made;
}

Tensor total(const ivory::LossTerms& terms) {
  EXPECT_EQ(terms.size(), 1U);
  return terms[0].second;
}

TEST(Agreement3D, FollowsItsEquations) {
  auto model = ivory::test::small_model();
  auto objective = agreement();
  const auto batch = two_views();
  const auto loss = total(objective->forward(*model, batch));

  const auto z = model->embed(torch::cat(batch.views)).pooled;  // both views through f_intra together
  const auto scores = z.matmul(objective->named_parameters()["clustering.prototypes.weight"].t()).chunk(2);
  Tensor expected = torch::zeros({}, torch::kDouble);
  for (size_t a = 0; a < 2; ++a) {
    const auto codes = ivory::nn::sinkhorn(scores[a], 0.05, 3, ivory::test::one_process());
    expected = expected - (codes * (scores[1 - a] / 0.1).log_softmax(1)).sum(1).mean() / 2;
  }
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-10);
}

TEST(Agreement3D, HasNoHeadAndNoBias) {
  const auto parameters = agreement()->named_parameters();
  ASSERT_EQ(parameters.size(), 1U);
  EXPECT_EQ(parameters["clustering.prototypes.weight"].sizes(), (std::vector<int64_t>{5, 16}));
}

TEST(Agreement3D, TrainsTheWholeModelAndFreezesPrototypesForAnEpoch) {
  auto model = ivory::test::small_model();
  auto objective = agreement();
  const auto trains = objective->trains();
  EXPECT_TRUE(trains.intra && trains.projection && trains.inter);
  for (const int64_t step : {0, 2, 3}) {  // 3 steps an epoch
    objective->before_step(*model, stage(step));
    total(objective->forward(*model, two_views())).backward();
    objective->after_backward(*model, stage(step));
    EXPECT_EQ(objective->named_parameters()["clustering.prototypes.weight"].grad().defined(), step >= 3);
  }
  auto parameters = model->named_parameters();
  for (const char* name : {"intra.conv1.weight", "projection.weight", "inter.layers.0.attention.to_v.weight",
                           "inter.layers.0.attention.offset_depthwise.weight", "inter.positions"}) {
    EXPECT_GT(parameters[name].grad().abs().max().item<double>(), 0) << name;
  }
}

TEST(Agreement3D, EqualScoresSitAtLnH) {
  auto model = ivory::test::small_model();
  auto objective = agreement();
  {
    const torch::NoGradGuard no_grad;
    auto prototypes = objective->named_parameters()["clustering.prototypes.weight"];
    prototypes.copy_(prototypes[0].clone().expand_as(prototypes));
  }
  EXPECT_NEAR(total(objective->forward(*model, two_views())).item<double>(), std::log(5.0), 1e-10);
  EXPECT_NEAR(objective->plateau(), std::log(5.0), 1e-12);
}

ivory::StageContext stage_with_volumes() {
  auto made = stage(0, 3, 3);
  made.for_each_full_batch = [](const auto& visit) { visit(two_views()); };
  return made;
}

std::shared_ptr<Objective> deep_cluster_agreement() {
  return agreement({{"codes", std::string("deepcluster-v2")}, {"clusters", std::vector<int64_t>{2, 3, 2}}},
                   {.samples = 3});
}

TEST(Agreement3D, WithDeepClusterFollowsItsEquations) {
  auto model = ivory::test::small_model();
  auto objective = deep_cluster_agreement();
  objective->before_training(*model, stage_with_volumes());
  objective->before_epoch(*model, stage_with_volumes());
  const auto batch = two_views();
  auto buffers = objective->named_buffers();
  const auto z = model->embed(torch::cat(batch.views)).pooled;
  EXPECT_TRUE(torch::allclose(buffers["clustering.bank"].flatten(0, 1), z, 0, 1e-9));  // as training sees them
  Tensor expected = torch::zeros({}, torch::kDouble);
  for (int64_t head = 0; head < 3; ++head) {
    const auto log_p = (z.matmul(buffers["clustering.centroids_" + std::to_string(head)].t()) / 0.1).log_softmax(1);
    const auto targets = buffers["clustering.assignments"][head].to(torch::kLong).repeat({2});
    expected = expected - log_p.gather(1, targets.unsqueeze(1)).mean() / 3;
  }
  EXPECT_NEAR(total(objective->forward(*model, batch)).item<double>(), expected.item<double>(), 1e-10);
}

TEST(Agreement3D, WithDeepClusterTrainsTheWholeModelAndNothingElse) {
  auto model = ivory::test::small_model();
  auto objective = deep_cluster_agreement();
  EXPECT_TRUE(objective->parameters().empty());
  objective->before_epoch(*model, stage_with_volumes());
  objective->before_step(*model, stage_with_volumes());
  total(objective->forward(*model, two_views())).backward();
  objective->after_step(*model, stage_with_volumes());
  for (const char* name : {"intra.conv1.weight", "projection.weight", "inter.positions"}) {
    EXPECT_GT(model->named_parameters()[name].grad().abs().max().item<double>(), 0) << name;
  }
  EXPECT_EQ(objective->prototype_scores(*model, two_views().views[0]).sizes(), (std::vector<int64_t>{3, 2}));
}

TEST(Agreement3D, SaysWhatDoesNotFit) {
  EXPECT_THAT(bad_request_of([] { agreement({}, {.volume_views = 1}); }), HasSubstr("at least 2 views of a volume"));
  EXPECT_THAT(bad_request_of([] {
                agreement({{"queue_length", int64_t{48}}}, {.samples = 20, .batch_size = 12});
              }),
              HasSubstr("longer than the data set of 20 samples: set it to at most 12"));
  EXPECT_THAT(bad_request_of([] { agreement({{"codes", std::string("kmeans")}}); }), HasSubstr("deepcluster-v2"));
  EXPECT_THAT(bad_request_of([] {
                agreement({{"codes", std::string("deepcluster-v2")}}, {.samples = 3});
              }),
              HasSubstr("4 clusters of 3 samples: set clusters to at most 3"));
  auto objective = agreement();
  ivory::Model slices_only(ivory::test::small_model()->intra, nullptr, ivory::LevelUse::all, 16, 8);
  slices_only.to(torch::kDouble);
  EXPECT_THAT(bad_request_of([&] { objective->forward(slices_only, two_views()); }), HasSubstr("[model] names none"));
}

}  // namespace
