#include "plugins/ssl2d/training.h"

namespace {

using namespace ivory::test;
using ivory::Objective;
using testing::HasSubstr;
using torch::Tensor;

Settings small() {
  return {{"bank", int64_t{16}}, {"embedding_width", int64_t{5}}, {"momentum", 0.9}};
}

TEST(Pcrl2d, FollowsItsReference) {
  Training training("pcrl-2d", small());
  const auto store = training.objective->named_buffers()["bank.store"];
  store.copy_(fill({1, 16, 5}, 78));
  expect_training(training, "pcrl_2d", {14, 14}, {{"key_model", ""}, {"key_head", "head."}});
  expect_all({{"store", store}}, golden("ssl2d_pcrl_2d")["bank"]);
}

// One key against a bank of given cosines: n = 10 samples, cosines 0.8 | 0.6, 0.2. The bank is hidden in a model whose
// feature is a constant.
TEST(Pcrl2d, TheContrastHasItsClosedForm) {
  Training training("pcrl-2d", {{"bank", int64_t{2}}, {"embedding_width", int64_t{2}}});
  // q = k = (1, 0): the cosine of the pair is 1; the bank has 0.6 and 0.2.
  const torch::NoGradGuard no_grad;
  for (const char* head : {"head", "key_head.network"}) {
    for (auto& item : training.objective->named_parameters()) {
      if (item.key().starts_with(std::string(head) + ".")) item.value().zero_();
      if (item.key() == std::string(head) + ".2.bias") item.value()[0].fill_(1);
    }
  }
  training.objective->named_buffers()["bank.store"].copy_(
      torch::tensor({{{0.6, 0.8}, {0.2, std::sqrt(0.96)}}}, torch::kDouble));
  training.objective->before_training(*training.model, stage(0, 10, 1));
  training.objective->eval();
  const auto terms = training.objective->forward(*training.model, Training::batch(0, {14, 14}, 0, 1));
  ASSERT_EQ(terms[0].first, "contrast");
  const double z = (std::exp(5.0) + std::exp(3.0) + std::exp(1.0)) / 3 * 10, h = 0.2, e = 1e-5;
  const auto share = [&](double cosine) { return std::exp(cosine / 0.2) / z; };
  const double expected = -std::log(share(1) / (share(1) + h + e)) - std::log(h / (share(0.6) + h + e)) -
                          std::log(h / (share(0.2) + h + e));
  EXPECT_NEAR(terms[0].second.item<double>(), expected, 1e-9);
  EXPECT_NEAR(training.objective->named_buffers()["scale"].item<double>(), z, 1e-9);
}

TEST(Pcrl2d, HasTheNumericalGradients) {
  Training training("pcrl-2d", small());
  training.objective->before_training(*training.model, stage(0, 1000, 8));
  training.objective->before_step(*training.model, stage(0, 1000, 8));
  training.objective->eval();  // the bank stays; batch norms use what they have seen, and that does not change
  const auto batch = Training::batch(0, {14, 14});
  const auto first = training.objective->forward(*training.model, batch);
  const auto loss = [&] {
    training.objective->before_step(*training.model, stage(0, 1000, 8));  // the same draws
    const auto terms = training.objective->forward(*training.model, batch);
    return terms[0].second + terms[1].second;
  };
  for (const auto& [name, p] : training.trained()) {
    if (name == "encoder.conv.bias") continue;  // the batch norm takes it off again
    EXPECT_LT(gradient_error(loss, p, 12), 1e-4) << name;
  }
}

TEST(Pcrl2d, SeveralProcessesHaveTheGradientsOfOne) {
  expect_same_gradients([] { return std::make_unique<Training>("pcrl-2d", small()); }, {14, 14});
}

TEST(Pcrl2d, HasThePublishedSize) {
  const auto count = [](int64_t depth) {
    const auto network = [depth] {
      auto backbone = make<ivory::Backbone>("resnet", {{"depth", depth}}, {});
      const auto& plugin = descriptor<ivory::Model>("encoder-decoder");
      return plugin.create(ivory::Options(plugin.options), {.backbone = [backbone](auto&&...) { return backbone; }});
    };
    const auto model = network();
    const auto pcrl = make<Objective>(
        "pcrl-2d", {}, {.width = model->width(ivory::SampleKind::slice), .model = model.get(), .fresh_model = network});
    int64_t own = parameter_count(*model);
    for (const auto& item : pcrl->named_parameters()) own += item.value().requires_grad() ? item.value().numel() : 0;
    return own;
  };
  // The authors restore three channels, a grey slice has one: two fewer outputs of a convolution 3 · 3 · 16 + 1.
  EXPECT_EQ(count(50), 33328307 - 2 * 145);
  EXPECT_EQ(count(18), 14544051 - 2 * 145);
}

TEST(Pcrl2d, SaysWhatDoesNotFit) {
  const auto message = [](const Settings& settings, int64_t batch, ivory::Model* model) {
    return bad_request_of([&] {
      make<Objective>("pcrl-2d", settings,
                      {.width = 6, .views = 2, .batch_size = batch, .model = model, .fresh_model = [] {
                         return std::make_shared<SmallModel>();
                       }});
    });
  };
  SmallModel model;
  GivenFeatures without(6);
  EXPECT_THAT(message({}, 8, &without), HasSubstr("needs a decoder"));
  EXPECT_THAT(message({{"bank", int64_t{100}}}, 48, &model), HasSubstr("bank = 100 must be a multiple"));
  EXPECT_THAT(message({{"bank", int64_t{1} << 40}}, 64, &model), HasSubstr("would take 524288 GiB"));
  EXPECT_THAT(message({}, 1, &model), HasSubstr("got a batch of 1"));
}

}  // namespace
