#include <cmath>

#include "support/errors.h"
#include "support/golden.h"
#include "support/measures.h"
#include "support/plugins.h"
#include "support/stage.h"

namespace {

using ivory::Backbone;
using ivory::BackboneInfo;
using ivory::Batch;
using ivory::Features;
using ivory::ImageVolumeModel;
using ivory::Input;
using ivory::Objective;
using ivory::SampleKind;
using ivory::test::bad_request_of;
using ivory::test::fill;
using ivory::test::measured;
using ivory::test::stage;
using testing::HasSubstr;
using torch::Tensor;

constexpr int64_t width = 3;

// A slice's feature: (1, its first pixel), scaled to unit length by the model; batch norm so that training would show.
class FirstPixel : public Backbone {
 public:
  FirstPixel() { norm = register_module("norm", torch::nn::BatchNorm2d(1)); }
  BackboneInfo info() const override { return {.input = Input::image, .width = 2}; }
  Features forward(const Tensor& images) override {
    const auto pixel = norm(images).flatten(1).narrow(1, 0, 1);
    return {.pooled = torch::cat({torch::ones_like(pixel), pixel}, 1)};
  }
  torch::nn::BatchNorm2d norm{nullptr};
};

// f_inter that changes nothing and remembers what it was given.
class Recorder : public Backbone {
 public:
  BackboneInfo info() const override { return {.input = Input::tokens, .width = width}; }
  Features forward(const Tensor& tokens) override {
    seen.push_back(tokens.detach().clone());
    return {.pooled = tokens.mean(1), .tokens = tokens};
  }
  std::vector<Tensor> seen;
};

struct Setting {
  std::shared_ptr<Recorder> inter = std::make_shared<Recorder>();
  std::shared_ptr<ImageVolumeModel> model;
  std::shared_ptr<Objective> objective;
  Batch batch;
};

// The mask token is far from every token and the decoder is the identity.
Setting setting(int64_t frames, int64_t volumes = 3, double ratio = 0.1) {
  torch::manual_seed(6);
  Setting s;
  s.model =
      std::make_shared<ImageVolumeModel>(std::make_shared<FirstPixel>(), s.inter, ivory::LevelUse::last, width, frames);
  s.objective = ivory::test::make<Objective>("masked-embedding", {{"mask_ratio", ratio}},
                                             {.on = SampleKind::volume, .width = width, .model = s.model.get()});
  s.model->to(torch::kDouble);
  s.objective->to(torch::kDouble);
  const torch::NoGradGuard no_grad;
  s.objective->named_parameters()["mask_token"].fill_(100);
  s.objective->named_parameters()["decoder.weight"].copy_(torch::eye(width));
  s.objective->named_parameters()["decoder.bias"].zero_();
  s.batch.kind = SampleKind::volume;
  s.batch.views = {{fill({volumes, 1, frames, 2, 2}, 1)}, {fill({volumes, 1, frames, 2, 2}, 2)}};
  s.batch.index = torch::arange(volumes) + 40;
  return s;
}

Tensor loss_at(Setting& s, int64_t step) {
  s.objective->before_step(*s.model, stage(step));
  const auto terms = s.objective->forward(*s.model, s.batch);
  EXPECT_EQ(terms.size(), 1U);
  return terms[0].second;
}

// Which slices of view v were masked in the last forward: [B, F].
Tensor masks(const Setting& s, size_t view) {
  return s.inter->seen[s.inter->seen.size() - 2 + view].eq(100).all(2);
}

TEST(MaskedEmbedding, MasksTheCeilingOfTheRatio) {
  const std::vector<std::pair<int64_t, int64_t>> cases = {{64, 7}, {60, 6}, {61, 7}, {30, 3}, {10, 1}, {2, 1}};
  for (const auto& [frames, expected] : cases) {
    auto s = setting(frames);
    s.objective->before_training(*s.model, stage());
    loss_at(s, 0);
    for (const size_t view : {0, 1}) {
      EXPECT_TRUE(masks(s, view).sum(1).eq(expected).all().item<bool>()) << frames << " slices";
    }
  }
}

TEST(MaskedEmbedding, DrawsAnewPerVolumeViewAndStepAndAgainTheSameAfterAResume) {
  auto s = setting(64);
  s.objective->before_training(*s.model, stage());
  loss_at(s, 0);
  const auto first = masks(s, 0), other_view = masks(s, 1);
  EXPECT_FALSE(torch::equal(first[0], first[1]));
  EXPECT_FALSE(torch::equal(first, other_view));
  loss_at(s, 1);
  EXPECT_FALSE(torch::equal(masks(s, 0), first));
  const auto second = masks(s, 0);

  auto resumed = setting(64);
  resumed.objective->before_training(*resumed.model, stage(1));
  loss_at(resumed, 1);
  EXPECT_TRUE(torch::equal(masks(resumed, 0), second));

  // The draw belongs to the sample, not to its place in the batch.
  resumed.batch.index = resumed.batch.index.flip(0);
  loss_at(resumed, 1);
  EXPECT_TRUE(torch::equal(masks(resumed, 0), second.flip(0)));
  resumed.batch.index = torch::zeros_like(resumed.batch.index);
  loss_at(resumed, 1);
  EXPECT_TRUE(torch::equal(masks(resumed, 0)[0], masks(resumed, 0)[1])) << "of a sample that is there twice";

  auto other_seed = setting(64);
  other_seed.objective->before_training(*other_seed.model, stage(0, 1000, 4, 2));
  other_seed.objective->before_step(*other_seed.model, stage(1, 1000, 4, 2));
  other_seed.objective->forward(*other_seed.model, other_seed.batch);
  EXPECT_FALSE(torch::equal(masks(other_seed, 0), second));
}

TEST(MaskedEmbedding, EverySliceIsMaskedEquallyOften) {
  auto s = setting(10, 50, 0.3);
  s.objective->before_training(*s.model, stage());
  auto count = torch::zeros({10});
  for (int64_t step = 0; step < 20; ++step) {
    loss_at(s, step);
    count += masks(s, 0).sum(0) + masks(s, 1).sum(0);
  }
  // 2,000 draws of 3 in 10: 600 ± 20 (one standard deviation); four of them.
  EXPECT_LT((count - 600).abs().max().item<double>(), 82);
}

// Identity f_inter and decoder: Σ over masked slices ‖mask token − target‖², over volumes and views.
TEST(MaskedEmbedding, LossAndBaselinesByHand) {
  auto s = setting(12, 3, 0.4);
  s.objective->before_training(*s.model, stage());
  const double loss = loss_at(s, 0).item<double>();
  double expected = 0, mean_error = 0, neighbour_error = 0;
  s.model->intra->eval();
  for (size_t view = 0; view < 2; ++view) {
    const auto target = s.model->project(s.model->slice_features(s.batch.views[view].pixels)).detach();  // [B, F, D]
    for (int64_t b = 0; b < 3; ++b) {
      const auto masked = masks(s, view)[b];
      const auto mean = target[b].index({masked.logical_not()}).mean(0);
      for (int64_t i = 0; i < 12; ++i) {
        if (!masked[i].item<bool>()) continue;
        int64_t left = i, right = i;
        while (left >= 0 && masked[left].item<bool>()) --left;
        while (right < 12 && masked[right].item<bool>()) ++right;
        const double w = left < 0      ? 1
                         : right == 12 ? 0
                                       : static_cast<double>(i - left) / static_cast<double>(right - left);
        const auto between = (left < 0 ? 0 : 1 - w) * target[b][std::max<int64_t>(left, 0)] +
                             (right == 12 ? 0 : w) * target[b][std::min<int64_t>(right, 11)];
        expected += (100 - target[b][i]).square().sum().item<double>() / 6;
        mean_error += (mean - target[b][i]).square().sum().item<double>() / 6;
        neighbour_error += (between - target[b][i]).square().sum().item<double>() / 6;
      }
    }
  }
  EXPECT_NEAR(loss, expected, 1e-9 * expected);
  EXPECT_NEAR(measured(s.objective->measures(), "mean_token_error"), mean_error, 1e-9);
  EXPECT_NEAR(measured(s.objective->measures(), "neighbour_error"), neighbour_error, 1e-9);
  EXPECT_NEAR(measured(s.objective->measures(), "ratio"), expected / mean_error, 1e-6 * expected / mean_error);
}

TEST(MaskedEmbedding, TheTargetIsAFrozenCopyOfTheProjection) {
  auto s = setting(12);
  EXPECT_THAT(bad_request_of([&] { s.objective->forward(*s.model, s.batch); }), HasSubstr("before_training"));
  s.objective->before_training(*s.model, stage());
  const double before = loss_at(s, 0).item<double>();
  {
    const torch::NoGradGuard no_grad;
    s.model->projection->weight.add_(1);  // the masked slices' inputs and targets do not see it
  }
  EXPECT_NEAR(loss_at(s, 0).item<double>(), before, 1e-9 * before);
  s.objective->before_training(*s.model, stage(5));  // a resumed stage keeps its copy
  EXPECT_NEAR(loss_at(s, 0).item<double>(), before, 1e-9 * before);
  EXPECT_EQ(s.objective->named_buffers().size(), 3U);
}

// With identity f_inter nothing but the mask token reaches the masked outputs: a gradient of the projection could only
// come through the target.
TEST(MaskedEmbedding, TheTargetIsDetached) {
  auto s = setting(12);
  s.objective->before_training(*s.model, stage());
  loss_at(s, 0).backward();
  EXPECT_EQ(s.model->projection->weight.grad().abs().max().item<double>(), 0);
  EXPECT_GT(s.objective->named_parameters()["mask_token"].grad().abs().max().item<double>(), 0);
}

TEST(MaskedEmbedding, TheDecoderStartsAtTheMeanTokenOfTheData) {
  auto s = setting(10);
  auto start = stage();
  start.for_each_batch = [&s](ivory::Tail, const auto& visit) { visit(s.batch); };
  s.objective->before_training(*s.model, start);
  s.model->eval();
  const torch::NoGradGuard no_grad;
  const auto tokens = s.model->project(s.model->slice_features(torch::cat(ivory::pixels_of(s.batch))));  // [V·B, F, D]
  const auto own = s.objective->named_parameters();
  EXPECT_EQ(own["decoder.weight"].abs().max().item<double>(), 0);
  EXPECT_LT((own["decoder.bias"] - tokens.flatten(0, 1).mean(0)).abs().max().item<double>(), 1e-12);
}

TEST(MaskedEmbedding, SliceBackboneStaysUntouched) {
  auto model = ivory::test::small_model(8, 16);
  auto objective = ivory::test::make<Objective>("masked-embedding", {},
                                                {.on = SampleKind::volume, .width = 16, .model = model.get()});
  objective->to(torch::kDouble);
  EXPECT_THAT(objective->trains(), testing::ElementsAre("projection", "inter"));
  std::vector<Tensor> before;
  for (const auto& tensor : model->intra->parameters()) before.push_back(tensor.clone());
  for (const auto& tensor : model->intra->buffers()) before.push_back(tensor.clone());

  std::vector<Tensor> trained = model->inter->parameters();
  for (const auto& more : {model->projection->parameters(), objective->parameters()}) {
    trained.insert(trained.end(), more.begin(), more.end());
  }
  torch::optim::SGD optimiser(trained, torch::optim::SGDOptions(0.01));
  const Batch batch = ivory::test::two_views(2);
  objective->before_training(*model, stage());
  for (int64_t step = 0; step < 3; ++step) {
    objective->before_step(*model, stage(step));
    optimiser.zero_grad();
    objective->forward(*model, batch)[0].second.backward();
    optimiser.step();
  }
  EXPECT_TRUE(model->intra->is_training());  // eval mode only inside the objective
  size_t i = 0;
  for (const auto& tensor : model->intra->parameters()) {
    EXPECT_FALSE(tensor.grad().defined());
    EXPECT_TRUE(torch::equal(tensor, before[i++]));
  }
  for (const auto& tensor : model->intra->buffers()) EXPECT_TRUE(torch::equal(tensor, before[i++]));
}

TEST(MaskedEmbedding, NeedsTheJointModel) {
  EXPECT_THAT(bad_request_of([] {
                ivory::test::make<Objective>("masked-embedding", {}, {.on = SampleKind::volume, .width = 16});
              }),
              HasSubstr("image-volume"));
}

TEST(MaskedEmbedding, RefusesToMaskEverySlice) {
  auto s = setting(4, 2, 0.9);
  s.objective->before_training(*s.model, stage());
  EXPECT_THAT(bad_request_of([&] { loss_at(s, 0); }), HasSubstr("mask_ratio = 0.9 masks all 4 slices"));
}

}  // namespace
