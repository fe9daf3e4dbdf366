#include "plugins/ssl2d/training.h"

namespace {

using namespace ivory::test;
using ivory::Objective;
using testing::HasSubstr;
using torch::Tensor;

Tensor rows(const std::vector<std::vector<double>>& values) {
  std::vector<Tensor> all;
  for (const auto& row : values) all.push_back(torch::tensor(row, torch::kDouble));
  return torch::stack(all);
}

double loss(const Tensor& query, const Tensor& key, const Tensor& queue, double temperature = 0.2) {
  Given given("moco-v2", {{"queue_length", queue.size(0)}, {"temperature", temperature}}, query.size(1), {"head"});
  const torch::NoGradGuard no_grad;
  given.objective->named_buffers()["queue.store"].copy_(queue.unsqueeze(0));
  return given.loss({query, key});
}

Settings small(int64_t group = 4) {
  return {{"head_width", int64_t{10}},
          {"embedding_width", int64_t{4}},
          {"queue_length", int64_t{16}},
          {"norm_group", group},
          {"momentum", 0.9}};
}

std::unique_ptr<Training> training(int64_t group = 4) {
  return std::make_unique<Training>("moco-v2", small(group));
}

TEST(MoCoV2, HasItsClosedForms) {
  const auto queue = rows({{1, 0}, {0, 1}, {-1, 0}});
  EXPECT_NEAR(loss(rows({{0.6, 0.8}}), rows({{0.8, 0.6}}), queue), 0.479358, 1e-6);
  const auto across = rows({{0, 1}, {0, -1}, {0, 1}, {0, -1}});
  EXPECT_NEAR(loss(rows({{1, 0}}), rows({{1, 0}}), across), 0.0265950, 1e-7) << "ln(1 + K exp(−5))";
  const auto equal = rows({{0.6, 0.8}});
  EXPECT_NEAR(loss(equal, equal, equal.expand({65536, 2})), 11.090370, 1e-6) << "ln(1 + K)";
}

TEST(MoCoV2, DoesNotSeeLengthAndTakesZeros) {
  const auto queue = rows({{1, 0}, {0, 1}, {-1, 0}});
  EXPECT_NEAR(loss(rows({{6, 8}}), rows({{0.08, 0.06}}), queue), 0.479358, 1e-6);
  EXPECT_NEAR(loss(rows({{0, 0}}), rows({{0, 0}}), queue), std::log(4.0), 1e-12);
}

TEST(MoCoV2, HasTheNumericalGradients) {
  auto of = training();
  expect_numerical_gradients(*of, Training::batch(0, {12, 12}));
}

TEST(MoCoV2, SeveralProcessesHaveTheGradientsOfOneWithGroupsAndWithout) {
  expect_same_gradients([] { return training(2); }, {12, 12});
  expect_same_gradients([] { return training(0); }, {12, 12});
}

TEST(MoCoV2, KeysFollowByTheirMomentum) {
  auto of = training();
  of->objective->before_training(*of->model, stage());
  auto twin = twin_tensors(*of->objective, {{"key_model", ""}}).at("encoder.conv.weight");
  const Tensor first = twin.clone(), trained = of->model->parameters()[0];
  {
    const torch::NoGradGuard no_grad;
    trained.add_(1);
  }
  for (int64_t step = 1; step <= 3; ++step) of->objective->after_step(*of->model, stage(step));
  EXPECT_LT((twin - (trained + std::pow(0.9, 3) * (first - trained))).abs().max().item<double>(), 1e-12);
}

TEST(MoCoV2, TheQueueTakesAStepsKeysAfterItAndNoneInEvaluation) {
  auto of = training();
  const Tensor store = of->objective->named_buffers()["queue.store"], before = store.clone();
  of->objective->before_training(*of->model, stage());
  of->step(Training::batch(0, {12, 12}), stage());
  EXPECT_TRUE(torch::equal(store, before));
  of->descend(stage());
  EXPECT_TRUE(torch::equal(store.narrow(1, 8, 8), before.narrow(1, 8, 8)));
  EXPECT_FALSE(torch::equal(store.narrow(1, 0, 8), before.narrow(1, 0, 8)));
  const Tensor after = store.clone();
  of->objective->eval();
  of->step(Training::batch(1, {12, 12}), stage());
  of->descend(stage());
  EXPECT_TRUE(torch::equal(store, after));
  EXPECT_LT((store.norm(2, 2) - 1).abs().max().item<double>(), 1e-6) << "unit columns";
}

TEST(MoCoV2, SaysWhatDoesNotFit) {
  const auto message = [](const Settings& settings, int64_t batch) {
    return bad_request_of([&] {
      make<Objective>("moco-v2", settings, {.width = 4, .views = 2, .batch_size = batch, .fresh_model = [] {
                                              return std::make_shared<SmallModel>();
                                            }});
    });
  };
  EXPECT_THAT(message({{"queue_length", int64_t{100}}}, 48), HasSubstr("queue_length = 100 must be a multiple"));
  EXPECT_THAT(message({{"queue_length", int64_t{1} << 40}}, 64), HasSubstr("would take 524288 GiB"));
  EXPECT_THAT(message({}, 1), HasSubstr("got a batch of 1"));
  EXPECT_THAT(message({{"momentum", 1.5}}, 64), HasSubstr("momentum"));
  EXPECT_THAT(message({{"momentum", -0.1}}, 64), HasSubstr("momentum"));
  auto of = training(3);
  EXPECT_THAT(bad_request_of([&] {
                of->step(Training::batch(0, {12, 12}), stage());
              }),
              HasSubstr("norm_group = 3 does not divide the 8 samples"));
}

TEST(MoCoV2, AdvisesWhereKeysAndQueriesShareTheirStatistics) {
  const auto& plugin = descriptor<Objective>("moco-v2");
  ivory::Options options(plugin.options);
  EXPECT_THAT(plugin.advise(options, {.samples = 100000, .batch = 32}),
              testing::ElementsAre(HasSubstr("norm_group to 16")));
  options.set("norm_group", int64_t{8});
  EXPECT_THAT(plugin.advise(options, {.samples = 1000, .batch = 32}),
              testing::ElementsAre(HasSubstr("longer than the data")));
}

}  // namespace
