#include <ivory/nn/token_start.h>

#include <cmath>

#include "support/errors.h"
#include "support/golden.h"
#include "support/plugins.h"
#include "support/stage.h"

namespace {

using ivory::Batch;
using ivory::Objective;
using ivory::test::fill;
using torch::Tensor;

// Two batches of volumes whose slices differ little beside what they share.
std::vector<Batch> data() {
  std::vector<Batch> batches(2);
  for (size_t i = 0; i < batches.size(); ++i) {
    batches[i].kind = ivory::SampleKind::volume;
    batches[i].views = {{3 + fill({2, 1, 8, 32, 32}, 2 * i)}, {3 + fill({2, 1, 8, 32, 32}, 2 * i + 1)}};
    batches[i].index = torch::arange(2) + 2 * static_cast<int64_t>(i);
  }
  return batches;
}

ivory::StageContext stage_over(const std::vector<Batch>& batches, int& passes) {
  auto context = ivory::test::stage(0);
  context.for_each_batch = [&](ivory::Tail, const auto& visit) {
    ++passes;
    for (const auto& batch : batches) visit(batch);
  };
  return context;
}

Tensor tokens_of(ivory::ImageVolumeModel& model, const std::vector<Batch>& batches) {
  const torch::NoGradGuard no_grad;
  model.eval();
  std::vector<Tensor> parts;
  for (const auto& batch : batches) {
    for (const auto& view : batch.views) {
      parts.push_back(model.project(model.slice_features(view.pixels)).flatten(0, 1));
    }
  }
  return torch::cat(parts);  // [N, D]
}

TEST(TokenStart, EveryEntryGetsMeanZeroAndVarianceOne) {
  auto model = ivory::test::small_model();
  const auto batches = data();
  const Tensor before = tokens_of(*model, batches);
  int passes = 0;
  ivory::nn::standardise_tokens(*model, stage_over(batches, passes));
  const Tensor after = tokens_of(*model, batches);
  EXPECT_LT(after.mean(0).abs().max().item<double>(), 1e-9);
  EXPECT_LT((after.var(0, /*unbiased=*/false) - 1).abs().max().item<double>(), 1e-6);
  // An affine map of what was there: the same slices stay alike.
  const Tensor expected = (before - before.mean(0)) / before.std(0, /*unbiased=*/false);
  EXPECT_TRUE(torch::allclose(after, expected, 1e-6, 1e-6));
}

TEST(TokenStart, AConstantEntryIsShiftedOnly) {
  auto model = ivory::test::small_model();
  {
    const torch::NoGradGuard no_grad;
    model->projection->weight[0].zero_();
    model->projection->bias[0] = 5;
  }
  int passes = 0;
  const auto batches = data();
  ivory::nn::standardise_tokens(*model, stage_over(batches, passes));
  EXPECT_EQ(model->projection->weight[0].abs().max().item<double>(), 0);
  EXPECT_NEAR(model->projection->bias[0].item<double>(), 0, 1e-12);
}

TEST(TokenStart, LeavesFIntraAndItsModeAsTheyAre) {
  auto model = ivory::test::small_model();
  model->train();
  std::vector<Tensor> before;
  for (const auto& buffer : model->intra->buffers()) before.push_back(buffer.clone());
  int passes = 0;
  const auto batches = data();
  ivory::nn::standardise_tokens(*model, stage_over(batches, passes));
  EXPECT_TRUE(model->intra->is_training());
  for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(torch::equal(before[i], model->intra->buffers()[i]));
}

TEST(TokenStart, NeedsAPassOverTheData) {
  auto model = ivory::test::small_model();
  EXPECT_THAT(ivory::test::bad_request_of([&] { ivory::nn::standardise_tokens(*model, ivory::test::stage(0)); }),
              testing::HasSubstr("for_each_batch"));
}

// Objectives do it once, in the first stage that asks for it: a resumed one leaves the projection alone.
TEST(TokenStart, ObjectivesDoItOnce) {
  const auto like = ivory::test::small_model();
  const ivory::Objective::Context context = {
      .on = ivory::SampleKind::volume, .width = like->token_width(), .views = 2, .model = like.get()};
  for (const char* name : {"masked-embedding", "swav"}) {
    auto model = ivory::test::small_model();
    auto objective = ivory::test::make<Objective>(name, {{"standardise_tokens", true}}, context);
    objective->to(torch::kDouble);
    int passes = 0;
    const auto batches = data();
    const auto stage = stage_over(batches, passes);
    objective->before_training(*model, stage);
    EXPECT_LT(tokens_of(*model, batches).mean(0).abs().max().item<double>(), 1e-9) << name;
    {
      const torch::NoGradGuard no_grad;
      model->projection->bias.add_(1);
    }
    auto resumed = ivory::test::make<Objective>(name, {{"standardise_tokens", true}}, context);
    resumed->to(torch::kDouble);
    auto from = objective->named_buffers();
    for (auto& buffer : resumed->named_buffers()) buffer.value().copy_(from[buffer.key()]);
    resumed->before_training(*model, stage);
    EXPECT_NEAR(tokens_of(*model, batches).mean(0).max().item<double>(), 1, 1e-9) << name;
  }
}

}  // namespace
