// SwAV on volumes with the model "image-volume": the paper's 3D agreement (Eq. 11–12).
#include <ivory/nn/clustering.h>

#include <cmath>

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

std::shared_ptr<Objective> agreement(const ivory::test::Settings& more = {}, Objective::Context context = {}) {
  const auto model = ivory::test::small_model();
  torch::manual_seed(2);
  context.on = SampleKind::volume;
  context.width = 16;
  context.model = model.get();
  ivory::test::Settings settings = {{"prototypes", int64_t{5}}};
  settings.insert(settings.end(), more.begin(), more.end());
  auto made = ivory::test::make<Objective>("swav", settings, context);
  made->to(torch::kDouble);
  return made;
}

Tensor total(const ivory::LossTerms& terms) {
  EXPECT_EQ(terms.size(), 1U);
  EXPECT_EQ(terms[0].first, "swav");
  return terms[0].second;
}

TEST(SwAVOnVolumes, FollowsItsEquations) {
  auto model = ivory::test::small_model();
  auto objective = agreement();
  const auto batch = two_views();
  const auto loss = total(objective->forward(*model, batch));

  const auto z = model->embed(torch::cat(ivory::pixels_of(batch))).pooled;  // both views through f_intra together
  const auto scores = z.matmul(objective->named_parameters()["clustering.prototypes.weight"].t()).chunk(2);
  Tensor expected = torch::zeros({}, torch::kDouble);
  for (size_t a = 0; a < 2; ++a) {
    const auto codes = ivory::nn::sinkhorn(scores[a], 0.05, 3, ivory::test::one_process());
    expected = expected - (codes * (scores[1 - a] / 0.1).log_softmax(1)).sum(1).mean() / 2;
  }
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-10);
}

TEST(SwAVOnVolumes, HasNoHeadAndNoBias) {
  const auto parameters = agreement()->named_parameters();
  ASSERT_EQ(parameters.size(), 1U);
  EXPECT_EQ(parameters["clustering.prototypes.weight"].sizes(), (std::vector<int64_t>{5, 16}));
}

TEST(SwAVOnVolumes, HasAHeadWhereItIsAskedFor) {
  auto model = ivory::test::small_model();
  auto objective =
      agreement({{"head", std::string("mlp")}, {"head_width", int64_t{24}}, {"embedding_width", int64_t{6}}});
  EXPECT_EQ(objective->named_parameters()["head.0.weight"].sizes(), (std::vector<int64_t>{24, 16}));
  EXPECT_EQ(objective->named_parameters()["clustering.prototypes.weight"].sizes(), (std::vector<int64_t>{5, 6}));
  EXPECT_TRUE(std::isfinite(total(objective->forward(*model, two_views())).item<double>()));
}

TEST(SwAVOnVolumes, TrainsTheWholeModelAndFreezesPrototypesForAnEpoch) {
  auto model = ivory::test::small_model();
  auto objective = agreement();
  EXPECT_TRUE(objective->trains().empty()) << "what the model uses for volumes";
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

TEST(SwAVOnVolumes, EqualScoresSitAtLnH) {
  auto model = ivory::test::small_model();
  auto objective = agreement();
  {
    const torch::NoGradGuard no_grad;
    auto prototypes = objective->named_parameters()["clustering.prototypes.weight"];
    prototypes.copy_(prototypes[0].clone().expand_as(prototypes));
  }
  EXPECT_NEAR(total(objective->forward(*model, two_views())).item<double>(), std::log(5.0), 1e-10);
  EXPECT_NEAR(objective->chance_loss(), std::log(5.0), 1e-12);
}

TEST(SwAVOnVolumes, SaysWhatDoesNotFit) {
  EXPECT_THAT(bad_request_of([] { agreement({}, {.views = 1}); }), HasSubstr("the 1 views of a volume"));
  EXPECT_THAT(bad_request_of([] {
                agreement({{"queue_length", int64_t{48}}}, {.samples = 20, .batch_size = 12});
              }),
              AllOf(HasSubstr("data set of 20 samples"), HasSubstr("at most 12")));
  auto objective = agreement();
  ivory::ImageVolumeModel slices_only(ivory::test::small_model()->intra, nullptr, ivory::LevelUse::all, 16, 8);
  slices_only.to(torch::kDouble);
  EXPECT_THAT(bad_request_of([&] { objective->forward(slices_only, two_views()); }), HasSubstr("volume backbone"));
}

}  // namespace
