#include <ivory/nn/ema_twin.h>
#include <ivory/nn/eval_mode.h>

#include "support/errors.h"

namespace {

using ivory::nn::EmaTwin;
using ivory::nn::EvalMode;
using ivory::nn::MomentumSchedule;
using testing::HasSubstr;

torch::nn::Sequential network() {
  return torch::nn::Sequential(torch::nn::Linear(3, 2), torch::nn::BatchNorm1d(2));
}

MomentumSchedule schedule(const std::string& name) {
  return MomentumSchedule(ivory::Options(MomentumSchedule::options(0.9, name)));
}

TEST(MomentumSchedule, ByHand) {
  EXPECT_EQ(schedule("constant").at(70, 100), 0.9);
  const auto cosine = schedule("cosine");
  EXPECT_DOUBLE_EQ(cosine.at(0, 100), 0.9);
  EXPECT_DOUBLE_EQ(cosine.at(50, 100), 0.95);
  EXPECT_DOUBLE_EQ(cosine.at(100, 100), 1);
  EXPECT_DOUBLE_EQ(cosine.at(120, 100), 1) << "no rise beyond the end";
  EXPECT_DOUBLE_EQ(cosine.at(0, 0), 0.9) << "total not known";
}

TEST(EmaTwin, StartsAsTheNetworkAndFollowsIt) {
  auto trained = network(), copy = network();
  EmaTwin twin(copy.ptr());
  {
    const torch::NoGradGuard no_grad;
    trained->named_buffers()["1.running_mean"].fill_(7);
  }
  twin.start(*trained);
  for (const auto& parameter : trained->named_parameters()) {
    EXPECT_TRUE(torch::equal(parameter.value(), copy->named_parameters()[parameter.key()]));
    EXPECT_FALSE(copy->named_parameters()[parameter.key()].requires_grad());
  }
  EXPECT_EQ(copy->named_buffers()["1.running_mean"][0].item<float>(), 7);

  const auto before = trained->named_parameters()["0.weight"].detach().clone();
  {
    const torch::NoGradGuard no_grad;
    trained->named_parameters()["0.weight"].add_(1);
    trained->named_buffers()["1.running_mean"].fill_(9);
  }
  twin.follow(*trained, 0.75);
  EXPECT_TRUE(torch::allclose(copy->named_parameters()["0.weight"], before + 0.25));
  EXPECT_EQ(copy->named_buffers()["1.running_mean"][0].item<float>(), 7) << "running statistics are its own";

  twin.start(*trained);
  EXPECT_TRUE(torch::allclose(copy->named_parameters()["0.weight"], before + 0.25)) << "started once";
  EXPECT_TRUE(twin.named_buffers().contains("started")) << "so a checkpoint knows";
}

TEST(EmaTwin, NeedsTheSameArchitecture) {
  EmaTwin twin(network().ptr());
  const torch::nn::Linear other(3, 2);
  EXPECT_THAT(ivory::test::bad_request_of([&] { twin.start(*other); }), HasSubstr("architecture"));
}

TEST(EvalMode, EveryModuleGetsItsOwnModeBack) {
  auto net = network();
  net[1]->eval();
  {
    const EvalMode evaluating(*net);
    EXPECT_FALSE(net->is_training() || net[0]->is_training());
  }
  EXPECT_TRUE(net->is_training() && net[0]->is_training());
  EXPECT_FALSE(net[1]->is_training()) << "it was in evaluation mode before";
}

}  // namespace
