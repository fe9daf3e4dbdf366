#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "plugins/ssl3d/patch_model.h"
#include "support/errors.h"
#include "support/numerical_gradient.h"
#include "support/stage.h"
#include "support/thread_group.h"

namespace {

using namespace ivory::test;
using testing::HasSubstr;
using torch::Tensor;

std::shared_ptr<ivory::Objective> swin(const std::shared_ptr<PatchModel>& model, const Settings& settings = {}) {
  return patch_objective("swin-pretraining", over({{"embedding_width", int64_t{6}}}, settings), model);
}

void zero(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  for (auto& p : module.parameters()) p.zero_();
}

// n crops, each twice, as they are.
ivory::Batch plain(const Tensor& crops) {
  const Tensor twice = torch::stack({crops, crops}, 1);  // [B, 2, 1, D, H, W]
  return prepared_batch(
      {twice, twice, torch::zeros(twice.sizes(), torch::kUInt8), torch::zeros({crops.size(0), 2}, torch::kLong)});
}

Tensor crops(int64_t count, uint64_t salt = 1) {
  return fill({count, 1, 8, 8, 8}, salt, 0.5, 0.5);
}

TEST(SwinPretraining, IdenticalEmbeddingsCostTheLogarithmOfTheOthers) {
  const auto model = patch_model();
  const auto objective = swin(model);
  zero(*objective);
  {
    const torch::NoGradGuard no_grad;
    objective->named_parameters()["contrast.bias"].fill_(1);
  }
  for (const int64_t n : {1, 2, 5}) {
    const auto terms = objective->forward(*model, plain(crops(n)));
    EXPECT_NEAR(term(terms, "contrast"), std::log(2.0 * static_cast<double>(n) - 1), 1e-12) << n;
    EXPECT_NEAR(measured(*objective, "contrast_of_equal"), std::log(2.0 * static_cast<double>(n) - 1), 1e-12);
    EXPECT_NEAR(term(terms, "rotation"), 1.38629, 1e-5);
  }
}

// A network whose pooled feature is one of two orthogonal directions: the versions of a crop are equal, other crops
// orthogonal.
TEST(SwinPretraining, EqualPairsAndOrthogonalOthersHaveTheirClosedForm) {
  const auto model = patch_model(2);
  const auto objective = swin(model, {{"embedding_width", int64_t{2}}});
  {
    const torch::NoGradGuard no_grad;
    auto p = model->named_parameters();
    p["encoder.convolution.weight"].zero_();
    p["encoder.convolution.weight"][0].fill_(10);  // bright crops, −10 … of (x − ½) / ¼ for dark ones
    p["encoder.convolution.weight"][1].fill_(-10);
    p["encoder.convolution.bias"].zero_();
    auto q = objective->named_parameters();
    q["contrast.weight"].copy_(torch::eye(2, torch::kDouble) * 0.5);
    q["contrast.bias"].fill_(0.5);  // (1, −1) → (1, 0), (−1, 1) → (0, 1)
  }
  const Tensor both =
      torch::cat({torch::ones({1, 1, 8, 8, 8}, torch::kDouble), torch::zeros({1, 1, 8, 8, 8}, torch::kDouble)});
  EXPECT_NEAR(term(objective->forward(*model, plain(both)), "contrast"), 0.239545, 1e-6);
  EXPECT_EQ(measured(*objective, "constant"), 4) << "constant crops show no turn";
}

TEST(SwinPretraining, RestorationIsTheMeanAbsoluteDifference) {
  const auto model = patch_model();
  const auto objective = swin(model);
  zero(*objective);  // restores zeros
  const Tensor some = crops(3);
  EXPECT_NEAR(term(objective->forward(*model, plain(some)), "restoration"), some.mean().item<double>(), 1e-12);
  EXPECT_NEAR(measured(*objective, "mae_of_copying"), 0, 1e-15);
}

TEST(SwinPretraining, PreparesTurnedCropsWithCutsAndSwaps) {
  const auto model = patch_model();
  const auto objective = swin(model);
  std::set<int64_t> turns;
  for (uint64_t i = 0; i < 20; ++i) {
    const auto sample = sample_of({12, 12, 10}, i);
    const auto made = objective->prepare(sample);
    ASSERT_EQ(made[0].sizes(), torch::IntArrayRef({4, 1, 12, 12, 10}));
    for (int64_t version = 0; version < 4; ++version) {
      const int64_t k = made[3][version].item<int64_t>();
      turns.insert(k);
      const Tensor grey = sample.views[static_cast<size_t>(version % 2)].pixels * 0.25 + 0.5;
      EXPECT_TRUE(torch::allclose(made[0][version], torch::rot90(grey, k, {2, 1}), 0, 1e-6));
      const double cut = (made[1][version] != made[0][version]).to(torch::kDouble).mean().item<double>();
      EXPECT_LE(cut, 0.31) << "30 % and one box of 8 voxels more";
      EXPECT_LE(made[2][version].to(torch::kDouble).mean().item<double>(), 0.31);
    }
  }
  EXPECT_EQ(turns.size(), 4U);
}

// With every voxel marked, a crop becomes its partner as that is by then: corrupted before it, clean behind it.
TEST(SwinPretraining, SwapsGoThroughTheBatchInOrder) {
  const auto model = patch_model();
  const auto objective = swin(model);
  objective->before_step(*model, stage(3));
  const int64_t n = 6;
  const Tensor clean =
      torch::arange(n, torch::kDouble).view({n, 1, 1, 1, 1, 1}).expand({n, 2, 1, 8, 8, 8}).contiguous();
  const auto batch = prepared_batch(
      {clean, clean + 100, torch::ones({n, 2, 1, 8, 8, 8}, torch::kUInt8), torch::zeros({n, 2}, torch::kLong)});
  objective->forward(*model, batch);
  const Tensor seen = (model->seen * 0.25 + 0.5).select(4, 0).select(3, 0).select(2, 0).view({2, n});
  int64_t own = 0;
  for (int64_t version = 0; version < 2; ++version) {
    for (int64_t i = 0; i < n; ++i) {
      const double value = seen[version][i].item<double>();
      bool possible = std::abs(value - static_cast<double>(i) - 100) < 1e-9;  // its own partner
      own += possible ? 1 : 0;
      for (int64_t j = 0; j < n; ++j) {
        if (j < i) possible = possible || std::abs(value - seen[version][j].item<double>()) < 1e-9;
        if (j > i) possible = possible || std::abs(value - static_cast<double>(j)) < 1e-9;
      }
      EXPECT_TRUE(possible) << "crop " << i << " shows " << value;
    }
  }
  EXPECT_LT(own, 2 * n);
}

// Two processes with half of the batch each are one process with all of it, swaps and contrast included.
TEST(SwinPretraining, TwoProcessesAreOne) {
  struct Process {
    std::shared_ptr<PatchModel> model = patch_model();
    std::shared_ptr<ivory::Objective> objective = swin(model);
    Tensor gradient(const ivory::Batch& batch, const ivory::Collective& group) {
      auto at = stage(10);
      at.group = &group;
      objective->before_step(*model, at);
      sum_of(objective->forward(*model, batch)).backward();
      return model->named_parameters()["encoder.convolution.weight"].grad();
    }
  };
  Process alone;
  const auto whole = prepare_batch(*alone.objective, {8, 8, 8}, 4);
  const Tensor one = alone.gradient(whole, one_process());
  std::array<Process, 2> processes;
  std::array<Tensor, 2> halves;
  ThreadGroup::run(2, [&](const ivory::Collective& group) {
    ivory::Batch half = whole;
    for (Tensor& t : half.prepared) t = t.narrow(0, 2 * group.rank(), 2);
    half.index = half.index.narrow(0, 2 * group.rank(), 2);
    const auto rank = static_cast<size_t>(group.rank());
    halves[rank] = processes[rank].gradient(half, group);
  });
  EXPECT_TRUE(torch::allclose((halves[0] + halves[1]) / 2, one, 1e-6, 1e-10)) << "swaps are gathered in float32";
}

TEST(SwinPretraining, NumericalGradient) {
  const auto model = patch_model();
  for (const std::string pool : {"mean", "tokens"}) {
    const auto objective = swin(model, {{"pool", pool}});
    const auto batch = prepare_batch(*objective, {8, 8, 8}, 2);
    const auto loss = [&] { return sum_of(objective->forward(*model, batch)); };
    for (auto& named : objective->named_parameters()) {
      if (named.key() == "decoder.0.bias") continue;  // an instance norm takes it away again
      EXPECT_LT(gradient_error(loss, named.value()), 1e-5) << named.key();
    }
    for (auto& p : model->parameters()) EXPECT_LT(gradient_error(loss, p), 1e-5);
  }
}

// A network like Swin UNETR's encoder in what the heads see of it.
class Deep : public ivory::Model {
 public:
  class Encoder : public ivory::Backbone {
   public:
    ivory::BackboneInfo info() const override {
      return {.input = ivory::Input::volume, .levels = {{768, {32, 32, 32}}}, .width = 768};
    }
    ivory::Features forward(const Tensor& x) override {
      const Tensor level = torch::avg_pool3d(x, 32).expand({-1, 768, -1, -1, -1});
      return {.levels = {level}, .pooled = level.mean({2, 3, 4})};
    }
  };
  Deep() { encoder_ = register_module("encoder", std::make_shared<Encoder>()); }
  int64_t width(ivory::SampleKind) const override { return 768; }
  ivory::Features embed(const Tensor& x) override { return encoder_->forward(x); }
  std::shared_ptr<ivory::Backbone> encoder(ivory::SampleKind) const override { return encoder_; }

 private:
  std::shared_ptr<Encoder> encoder_;
};

TEST(SwinPretraining, HeadsHaveTheReleasesParameters) {
  Deep model;
  const auto objective = make<ivory::Objective>("swin-pretraining", {}, {.width = 768, .model = &model});
  EXPECT_EQ(parameter_count(*objective), 19097191 - 8062002);
  int64_t decoder = 0;
  for (const auto& p : objective->named_parameters()) decoder += p.key().starts_with("decoder") ? p.value().numel() : 0;
  EXPECT_EQ(decoder, 10638385);
}

TEST(SwinPretraining, SaysWhatIsWrong) {
  Deep model;
  const auto objective = make<ivory::Objective>("swin-pretraining", {}, {.width = 768, .model = &model});
  const Tensor small = torch::rand({2, 2, 1, 32, 32, 32});
  EXPECT_THAT(bad_request_of([&] {
                objective->forward(model, prepared_batch({small, small, torch::zeros(small.sizes(), torch::kUInt8),
                                                          torch::zeros({2, 2}, torch::kLong)}));
              }),
              HasSubstr("twice the network's stride"));
  EXPECT_THAT(bad_request_of([&] { objective->prepare(sample_of({8, 12, 12})); }), HasSubstr("equal D and H"));
  EXPECT_THAT(bad_request_of([&] { make<ivory::Objective>("swin-pretraining", {}, {.width = 4}); }),
              HasSubstr("feature maps"));
}

}  // namespace
