#include <ivory/nn/deep_cluster.h>

#include <cmath>

#include "support/errors.h"
#include "support/measures.h"
#include "support/stage.h"
#include "support/unit_rows.h"

namespace {

using ivory::Batch;
using ivory::StageContext;
using ivory::nn::DeepCluster;
using ivory::nn::DeepClusterSpec;
using ivory::test::bad_request_of;
using ivory::test::unit_rows;
using testing::AllOf;
using testing::HasSubstr;
using torch::Tensor;

constexpr int64_t samples = 10, width = 6;

DeepCluster make(const DeepClusterSpec& spec = {.width = width, .clusters = {4, 3}}, int64_t known = samples) {
  DeepCluster made(spec, known);
  made->to(torch::kDouble);
  return made;
}

// One pass in batches of 4: 4, 4, and a rest of 2 with the first 2 again.
StageContext stage_with_data(int64_t epoch = 0) {
  auto stage = ivory::test::stage(0, samples, 4);
  stage.epoch = epoch;
  stage.for_each_batch = [](ivory::Tail tail, const auto& visit) {
    EXPECT_EQ(tail, ivory::Tail::filled);
    for (int64_t first = 0; first < samples; first += 4) {
      const auto ids = torch::arange(first, first + 4) % samples;
      visit(Batch{.views = {{ids}, {ids}, {ids}}, .index = ids});
    }
  };
  return stage;
}

// The sample's row of unit_rows, another for each view.
Tensor embed(const Batch& batch) {
  std::vector<Tensor> rows;
  for (size_t v = 0; v < batch.views.size(); ++v) {
    rows.push_back(unit_rows(samples, width, 20 + v).index_select(0, batch.index));
  }
  return torch::cat(rows);
}

// One training step on samples [first, first + 4).
double step(DeepCluster& clustering, int64_t number, int64_t first) {
  const auto stage = stage_with_data();
  clustering->before_step(stage);
  const double loss = clustering(unit_rows(12, width, 100 + number), 3, torch::arange(first, first + 4)).item<double>();
  clustering->after_step(stage);
  return loss;
}

TEST(DeepCluster, FillsTheBankOnceWithTheAssignmentViews) {
  auto clustering = make();
  clustering->before_training(stage_with_data());
  int64_t views = 0;
  clustering->before_epoch(stage_with_data(), [&](const Batch& batch) {
    views = static_cast<int64_t>(batch.views.size());
    return embed(batch);
  });
  EXPECT_EQ(views, 2);  // of three
  EXPECT_TRUE(torch::equal(clustering->bank[0], unit_rows(samples, width, 20)));
  EXPECT_TRUE(torch::equal(clustering->bank[1], unit_rows(samples, width, 21)));
  clustering->before_epoch(stage_with_data(1), [](const Batch&) -> Tensor { throw std::logic_error("again"); });
}

TEST(DeepCluster, HeadsClusterTheirViewsInTurn) {
  auto clustering = make({.width = width, .clusters = {4, 3, 4}});
  clustering->before_epoch(stage_with_data(), embed);
  for (int64_t h = 0; h < 3; ++h) {
    const auto scores = clustering->bank[h % 2].matmul(clustering->centroids[h].t());
    EXPECT_TRUE(torch::equal(clustering->assignments[h].to(torch::kLong), scores.argmax(1))) << "head " << h;
    EXPECT_TRUE(torch::allclose(clustering->centroids[h].norm(2, 1), torch::ones({h == 1 ? 3 : 4}, torch::kDouble)));
  }
  EXPECT_FALSE(torch::equal(clustering->centroids[0], clustering->centroids[2]));  // other first draws
}

TEST(DeepCluster, DrawsNewCentroidsEachEpochAndTheSameForTheSameSeed) {
  const auto after = [](int64_t epoch, uint64_t seed) {
    auto clustering = make();
    auto stage = stage_with_data(epoch);
    stage.seed = seed;
    clustering->before_epoch(stage, embed);
    return clustering->centroids[0].clone();
  };
  EXPECT_TRUE(torch::equal(after(2, 1), after(2, 1)));
  EXPECT_FALSE(torch::equal(after(2, 1), after(3, 1)));
  EXPECT_FALSE(torch::equal(after(2, 1), after(2, 5)));
}

TEST(DeepCluster, BankTakesTheStepsEmbeddingsBySampleId) {
  auto clustering = make();
  clustering->before_epoch(stage_with_data(), embed);
  const auto targets = clustering->assignments.clone();
  step(clustering, 0, 5);
  const auto seen = unit_rows(12, width, 100).chunk(3);
  for (int64_t a = 0; a < 2; ++a) {
    EXPECT_TRUE(torch::equal(clustering->bank[a].narrow(0, 5, 4), seen[a]));
    EXPECT_TRUE(torch::equal(clustering->bank[a].narrow(0, 0, 5), unit_rows(samples, width, 20 + a).narrow(0, 0, 5)));
  }
  EXPECT_TRUE(torch::equal(clustering->assignments, targets));  // until the next epoch
  clustering->eval();
  clustering(unit_rows(12, width, 7), 3, torch::arange(4));
  clustering->after_step(stage_with_data());
  EXPECT_TRUE(torch::equal(clustering->bank[0].narrow(0, 0, 5), unit_rows(samples, width, 20).narrow(0, 0, 5)));
}

TEST(DeepCluster, ASampleThatComesTwiceInABatchKeepsItsLastEmbedding) {
  auto clustering = make();
  clustering->before_step(stage_with_data());
  const auto z = unit_rows(8, width, 1);
  clustering(z, 2, torch::tensor({3, 1, 3, 7}));
  clustering->after_step(stage_with_data());
  EXPECT_TRUE(torch::equal(clustering->bank[0][3], z[2]));
  EXPECT_TRUE(torch::equal(clustering->bank[1][7], z[7]));
}

// Two processes whose gradients are averaged; the other one has 1 sample with a cluster, this one 3 of 4.
TEST(DeepCluster, EverySampleCountsAlikeWhicheverProcessHasIt) {
  class Two : public ivory::Collective {
    int64_t world_size() const override { return 2; }
    void all_reduce_sum(Tensor& counts) const override { counts += 1; }
  };
  const Two two;
  auto clustering = make();
  for (auto& centroids : clustering->centroids) centroids.copy_(unit_rows(centroids.size(0), width, 9));
  clustering->assignments.copy_(torch::ones({2, samples}));
  clustering->assignments.select(1, 2).fill_(-100);
  const auto z = unit_rows(8, width, 1);
  const double alone = clustering(z, 2, torch::arange(4)).item<double>();  // a mean over 3 samples
  auto stage = stage_with_data();
  stage.batch_size = 8;
  stage.group = &two;
  clustering->before_training(stage);
  EXPECT_NEAR(clustering(z, 2, torch::arange(4)).item<double>(), alone * 3 / 2, 1e-12) << "4 samples in 2 processes";
  clustering->eval();
  EXPECT_EQ(clustering(z, 2, torch::arange(4)).item<double>(), alone) << "one process evaluates alone";
}

TEST(DeepCluster, WithoutAssignmentsTheLossIsZeroNotNaN) {
  auto clustering = make();
  auto z = unit_rows(8, width, 1).requires_grad_();
  const auto loss = clustering(z, 2, torch::arange(4));
  EXPECT_EQ(loss.item<double>(), 0);
  loss.backward();
  EXPECT_EQ(z.grad().abs().max().item<double>(), 0);
  EXPECT_EQ(clustering->measures().size(), 2U);  // no perplexity of nothing
}

TEST(DeepCluster, SamplesThatWereNeverSeenGetNoAssignment) {
  auto clustering = make();
  clustering->bank.copy_(torch::stack({unit_rows(samples, width, 1), unit_rows(samples, width, 2)}));
  clustering->bank.select(1, 4).zero_();
  clustering->before_epoch(stage_with_data(), embed);
  EXPECT_TRUE(clustering->assignments.select(1, 4).eq(-100).all().item<bool>());
  EXPECT_EQ(clustering->assignments.eq(-100).sum().item<int64_t>(), 2);
}

TEST(DeepCluster, EqualCentroidsSitAtChance) {
  auto clustering = make();
  clustering->assignments.copy_(torch::ones({2, samples}));
  for (auto& centroids : clustering->centroids) centroids.copy_(unit_rows(1, width, 9).expand_as(centroids));
  EXPECT_NEAR(clustering(unit_rows(8, width, 1), 2, torch::arange(4)).item<double>(), std::log(12.0) / 2, 1e-12);
  EXPECT_NEAR(clustering->chance_loss(), std::log(12.0) / 2, 1e-14);
  EXPECT_EQ(clustering->count(), 4) << "of the first head, whose perplexity is measured";
}

TEST(DeepCluster, MeasuresCountClusters) {
  auto clustering = make();
  clustering->before_epoch(stage_with_data(), embed);
  clustering->assignments[0].copy_(torch::arange(samples).remainder(4));
  clustering(unit_rows(8, width, 1), 2, torch::tensor({0, 4, 1, 5}));  // clusters 0, 0, 1, 1
  const auto measures = clustering->measures();
  EXPECT_EQ(measures[0].name, "prototype_perplexity");
  EXPECT_NEAR(measures[0].value, 2, 1e-12);
  EXPECT_EQ(measures[0].compare, 4.0) << "clusters of the first head";
  EXPECT_EQ(measures[1].name, "empty_clusters");
  EXPECT_EQ(measures[2].name, "effective_rank");
  EXPECT_EQ(clustering->scores(unit_rows(5, width, 1)).sizes(), (std::vector<int64_t>{5, 4}));
}

// Heads of 4 and 9 clusters: the perplexity is the first one's, which has no more than 4.
TEST(DeepCluster, ThePerplexityIsHeldAgainstTheClustersThatItCounts) {
  auto clustering = make({.width = width, .clusters = {4, 9}});
  clustering->before_epoch(stage_with_data(), embed);
  clustering(unit_rows(8, width, 1), 2, torch::arange(4));
  const auto perplexity = ivory::test::measure(clustering->measures(), "prototype_perplexity");
  EXPECT_EQ(perplexity.low, 1.5);
  EXPECT_THAT(perplexity.if_low, AllOf(HasSubstr("4 prototypes"), HasSubstr("fewer clusters or a lower"),
                                       testing::Not(HasSubstr("epsilon"))));
}

// What a checkpoint holds is enough: stopped within an epoch, the rest of it and the next clustering are the same bits.
TEST(DeepCluster, GoesOnBitForBitFromItsBuffers) {
  auto whole = make(), stopped = make(), resumed = make();
  for (auto* clustering : {&whole, &stopped}) {
    (*clustering)->before_training(stage_with_data());
    (*clustering)->before_epoch(stage_with_data(), embed);
    step(*clustering, 0, 0);
  }
  resumed->before_training(stage_with_data());
  const auto saved = stopped->named_buffers();
  EXPECT_EQ(saved.size(), 4U);  // bank, assignments, two heads' centroids
  for (auto& buffer : resumed->named_buffers()) buffer.value().copy_(saved[buffer.key()]);
  EXPECT_EQ(step(whole, 1, 4), step(resumed, 1, 4));
  for (auto* clustering : {&whole, &resumed}) (*clustering)->before_epoch(stage_with_data(1), embed);
  EXPECT_EQ(step(whole, 2, 2), step(resumed, 2, 2));
  EXPECT_TRUE(torch::equal(whole->bank, resumed->bank));
  EXPECT_TRUE(torch::equal(whole->assignments, resumed->assignments));
}

TEST(DeepCluster, SaysWhatToSet) {
  EXPECT_THAT(bad_request_of([] {
                make({.width = width, .clusters = {4, 3000}}, 120);
              }),
              AllOf(HasSubstr("clusters = [4, 3000]"), HasSubstr("3000 clusters of 120 samples"),
                    HasSubstr("set clusters to at most 120 per head, better 12")));
  auto unknown = make({.width = width, .clusters = {11}}, 0);
  EXPECT_THAT(bad_request_of([&] { unknown->before_training(stage_with_data()); }),
              HasSubstr("11 clusters of 10 samples"));
  EXPECT_THAT(bad_request_of([] { make({.width = width, .clusters = {}}); }), HasSubstr("at least one head"));
  auto clustering = make();
  EXPECT_THAT(bad_request_of([&] { clustering(unit_rows(8, width, 1), 1, torch::arange(8)); }),
              HasSubstr("at least 2 views"));
  auto blind = ivory::test::stage(0, samples, 4);
  EXPECT_THAT(bad_request_of([&] { clustering->before_epoch(blind, embed); }), HasSubstr("for_each_batch"));
}

TEST(DeepCluster, ABankOfAnUnknownSizeIsMadeBeforeTraining) {
  auto clustering = make({.width = width, .clusters = {4}}, 0);
  EXPECT_EQ(clustering->bank.size(1), 0);
  clustering->before_training(stage_with_data());
  EXPECT_EQ(clustering->named_buffers()["bank"].sizes(), (std::vector<int64_t>{2, samples, width}));
}

}  // namespace
