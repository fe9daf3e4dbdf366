// A stage's views come in the type, and from the place, that its configuration names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "train/tiny_stage.h"

namespace ivory::train {
namespace {

struct Seen {
  std::set<torch::ScalarType> in_steps, in_hooks;
  std::vector<double> losses;
};

// Notes the type of the views that it gets.
class Noting : public ScriptedObjective {
 public:
  explicit Noting(Seen& seen) : ScriptedObjective([](int64_t) { return 0.0; }, 0), seen_(seen) {}
  LossTerms forward(Model& model, const Batch& batch) override {
    for (const torch::Tensor& pixels : pixels_of(batch)) {
      EXPECT_EQ(pixels.size(1), 1) << "one channel until the network";
      seen_.in_steps.insert(pixels.scalar_type());
    }
    LossTerms terms = ScriptedObjective::forward(model, batch);
    seen_.losses.push_back(terms.back().second.item<double>());
    return terms;
  }
  void before_epoch(Model& model, const StageContext& stage) override {
    const torch::NoGradGuard no_grad;
    stage.for_each_batch(Tail::partial, [&](const Batch& batch) {
      seen_.in_hooks.insert(batch.views.front().pixels.scalar_type());
      model.embed(batch.views.front().pixels);
    });
  }

 private:
  Seen& seen_;
};

Seen trained(const std::string& output, const std::string& on = "cpu") {
  Seen seen;
  TinyStage tiny;
  tiny.train_with("noting", [&] { return std::make_shared<Noting>(seen); });
  tiny.stage().slice_views.crops[0].size = 32;  // at 16 the last convolution strides over one pixel (nn/convolution.h)
  tiny.stage().train.steps = 4;
  tiny.stage().train.optimiser.lr = 1e-4;
  tiny.stage().train.precision = "bf16";
  tiny.stage().views_output = output;
  tiny.stage().views_on = on;
  tiny.train();
  return seen;
}

TEST(StageViews, AsBf16TheyTrainAsAutocastWouldHaveRoundedThem) {
  const Seen whole = trained("fp32"), half = trained("bf16");
  EXPECT_THAT(whole.in_steps, testing::ElementsAre(torch::kFloat32));
  EXPECT_THAT(half.in_steps, testing::ElementsAre(torch::kBFloat16));
  EXPECT_THAT(half.in_hooks, testing::ElementsAre(torch::kFloat32)) << "hooks run without autocast";
  EXPECT_EQ(half.losses.size(), 4u);
  EXPECT_EQ(half.losses, whole.losses);
}

TEST(StageViews, OnTheDeviceWithoutOneTheCpuMakesThem) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const Seen there = trained("fp32", "device");
  testing::internal::GetCapturedStdout();
  testing::internal::GetCapturedStderr();
  EXPECT_EQ(there.losses, trained("fp32").losses);
}

}  // namespace
}  // namespace ivory::train
