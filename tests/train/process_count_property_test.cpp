// Parts of the method that look at the whole batch give in several processes, joined by Gloo, what one process gives.
#include <ivory/nn/clustering.h>
#include <ivory/nn/deep_cluster.h>
#include <ivory/nn/k_means.h>
#include <ivory/nn/swapped_prediction.h>

#include "nn/joint_statistics.h"
#include "support/errors.h"
#include "support/gloo_group.h"
#include "support/stage.h"
#include "support/unit_rows.h"

namespace {

using ivory::Collective;
using ivory::StageContext;
using ivory::nn::sinkhorn;
using ivory::nn::SwappedPrediction;
using ivory::test::fill;
using ivory::test::in_group;
using ivory::test::unit_rows;
using torch::Tensor;

const Collective alone;

class Processes : public testing::TestWithParam<int64_t> {};

TEST_P(Processes, GiveTheJointSinkhornCodes) {
  const int64_t world = GetParam(), share = 24 / world;
  const auto scores = fill({24, 10}, 5);
  const auto joint = sinkhorn(scores, 0.05, 3, alone);
  std::vector<Tensor> parts(world);
  in_group(world, [&](const Collective& member) {
    parts[member.rank()] = sinkhorn(scores.narrow(0, share * member.rank(), share), 0.05, 3, member);
  });
  EXPECT_TRUE(torch::allclose(torch::cat(parts), joint, 0, 1e-13));
  if (world == 1) return;
  // The trap: codes of each part by itself are others.
  EXPECT_FALSE(
      torch::allclose(sinkhorn(scores.narrow(0, 0, share), 0.05, 3, alone), joint.narrow(0, 0, share), 0, 1e-2));
}

// Two views of a joint batch, this member's part of them, view by view.
Tensor part_of(const Tensor& joint, const Collective& member) {
  const int64_t share = joint.size(0) / 2 / member.world_size();
  const auto views = joint.chunk(2);
  return torch::cat(
      {views[0].narrow(0, share * member.rank(), share), views[1].narrow(0, share * member.rank(), share)});
}

StageContext stage_of(const Collective& group, int64_t step) {
  auto made = ivory::test::stage(step, 100, 4);
  made.group = &group;
  return made;
}

// Forward, backward and hooks of four steps with a queue that is full after two; prototypes move in between.
struct SwavRun {
  std::vector<double> losses;
  std::vector<Tensor> gradients;  // of the prototypes
  Tensor queue;
};
SwavRun run_swav(const Collective& group) {
  SwappedPrediction clustering(
      ivory::nn::SwappedPredictionSpec{.width = 6, .prototypes = 5, .freeze_steps = 0, .queue_length = 8}, 0, 0);
  clustering->to(torch::kDouble);
  SwavRun run;
  for (int64_t s = 0; s < 4; ++s) {
    {
      const torch::NoGradGuard no_grad;
      clustering->prototypes->weight.copy_(unit_rows(5, 6, 30 + s));
    }
    clustering->before_step(stage_of(group, s));
    const auto loss = clustering(part_of(unit_rows(8, 6, s), group), 2);
    loss.backward();
    run.losses.push_back(loss.item<double>());
    run.gradients.push_back(clustering->prototypes->weight.grad().clone());
    clustering->prototypes->weight.mutable_grad().reset();
    clustering->after_step(stage_of(group, s));
  }
  run.queue = clustering->queue->store;
  return run;
}

TEST_P(Processes, GiveTheJointSwAVLossGradientAndQueue) {
  const int64_t world = GetParam();
  const SwavRun joint = run_swav(alone);
  std::vector<SwavRun> runs(world);
  in_group(world, [&](const Collective& member) { runs[member.rank()] = run_swav(member); });
  for (size_t s = 0; s < 4; ++s) {
    double loss = 0;
    Tensor gradient = torch::zeros({5, 6}, torch::kDouble);
    for (const auto& run : runs) {
      loss += run.losses[s] / static_cast<double>(world);
      gradient += run.gradients[s] / static_cast<double>(world);
    }
    EXPECT_NEAR(loss, joint.losses[s], 1e-12) << "step " << s;
    EXPECT_TRUE(torch::allclose(gradient, joint.gradients[s], 0, 1e-12)) << "step " << s;
  }
  for (const auto& run : runs) EXPECT_TRUE(torch::equal(run.queue, joint.queue));
}

// The last centroid lies opposite to all points: its cluster is empty from the first iteration on.
TEST_P(Processes, GiveTheSameKMeans) {
  const int64_t world = GetParam();
  const auto points = unit_rows(50, 6, 1).to(torch::kFloat).abs();
  const auto opposite = torch::full({1, 6}, -1 / std::sqrt(6.0F));
  const auto initial = torch::cat({points.narrow(0, 0, 7), opposite});
  const auto joint = ivory::nn::spherical_k_means(points, initial, 10, alone);
  const auto parts = points.tensor_split(world);  // not of one size for 4
  std::vector<ivory::nn::KMeans> found(world);
  in_group(world, [&](const Collective& member) {
    found[member.rank()] = ivory::nn::spherical_k_means(parts[member.rank()], initial, 10, member);
  });
  std::vector<Tensor> assignments;
  for (const auto& part : found) {
    EXPECT_TRUE(torch::equal(part.centroids, joint.centroids));  // sums are in double: not even a last bit differs
    EXPECT_TRUE(torch::equal(part.centroids[7], opposite[0]));
    EXPECT_EQ(part.empty, 1);
    assignments.push_back(part.assignments);
  }
  EXPECT_TRUE(torch::equal(torch::cat(assignments), joint.assignments));
}

// This process's share of batches of 8 of all, the last one filled up with the first samples.
auto full_batches(int64_t samples, const Collective& group) {
  return [samples, &group](ivory::Tail tail, const auto& visit) {
    EXPECT_EQ(tail, ivory::Tail::filled);
    const int64_t share = 8 / group.world_size();
    for (int64_t first = 0; first < samples; first += 8) {
      const int64_t begin = first + share * group.rank();
      visit(ivory::Batch{.views = {{}, {}}, .index = torch::arange(begin, begin + share) % samples});
    }
  };
}

// A bank of 12 samples that is filled by each process's share of the data, clustered, and trained on for an epoch.
struct DeepRun {
  std::vector<double> losses;
  std::vector<Tensor> gradients;  // of the embeddings
  Tensor bank, assignments, centroids;
};
DeepRun run_deep_cluster(const Collective& group) {
  ivory::nn::DeepCluster clustering(ivory::nn::DeepClusterSpec{.width = 6, .clusters = {4, 3, 5}}, 12);
  clustering->to(torch::kDouble);
  auto stage = stage_of(group, 0);
  stage.samples = 12;
  stage.for_each_batch = full_batches(12, group);
  stage.batch_size = 8;
  const auto embed = [](const ivory::Batch& batch) {
    return torch::cat(
        {unit_rows(12, 6, 40).index_select(0, batch.index), unit_rows(12, 6, 41).index_select(0, batch.index)});
  };
  clustering->before_training(stage);
  clustering->before_epoch(stage, embed);
  clustering->assignments.select(1, 5).fill_(-100);  // of the second step
  DeepRun run;
  for (int64_t s = 0; s < 3; ++s) {
    const auto ids = torch::arange(4 * s, 4 * s + 4);
    const int64_t share = 4 / group.world_size();
    clustering->before_step(stage);
    const auto z = part_of(unit_rows(8, 6, s), group).clone().requires_grad_();
    const auto loss = clustering(z, 2, ids.narrow(0, share * group.rank(), share));
    loss.backward();
    run.losses.push_back(loss.item<double>());
    run.gradients.push_back(z.grad());
    clustering->after_step(stage);
  }
  stage.epoch = 1;
  clustering->before_epoch(stage, embed);
  run.bank = clustering->bank;
  run.assignments = clustering->assignments;
  run.centroids = torch::cat(clustering->centroids);
  return run;
}

TEST_P(Processes, GiveTheSameDeepClusterBankClustersAndLoss) {
  const int64_t world = GetParam();
  const DeepRun joint = run_deep_cluster(alone);
  std::vector<DeepRun> runs(world);
  in_group(world, [&](const Collective& member) {
    DeepRun& run = runs[member.rank()] = run_deep_cluster(member);
    for (size_t s = 0; s < 3; ++s) {  // of parameters they are averaged
      const auto mean = run.gradients[s] / static_cast<double>(world);
      EXPECT_TRUE(torch::allclose(mean, part_of(joint.gradients[s], member), 0, 1e-12)) << "step " << s;
    }
  });
  for (size_t s = 0; s < 3; ++s) {
    double loss = 0;
    for (const auto& run : runs) loss += run.losses[s] / static_cast<double>(world);
    EXPECT_NEAR(loss, joint.losses[s], 1e-12) << "step " << s;
  }
  for (const auto& run : runs) {
    EXPECT_TRUE(torch::equal(run.bank, joint.bank));
    EXPECT_TRUE(torch::equal(run.assignments, joint.assignments));
    EXPECT_TRUE(torch::allclose(run.centroids, joint.centroids, 0, 1e-14));
  }
}

// The bank of `samples` samples, of which a batch takes 8, by a network with batch statistics; then the clusters.
DeepRun fill_through_batch_norm(int64_t samples, const Collective& group) {
  ivory::nn::DeepCluster clustering(ivory::nn::DeepClusterSpec{.width = 4, .clusters = {3, 2}}, samples);
  torch::nn::BatchNorm1d norm(torch::nn::BatchNormOptions(4).affine(false));
  clustering->to(torch::kDouble);
  norm->to(torch::kDouble);
  auto stage = stage_of(group, 0);
  stage.samples = samples;
  stage.batch_size = 8;
  stage.for_each_batch = full_batches(samples, group);
  const auto embed = [&](const ivory::Batch& batch) {
    EXPECT_TRUE(norm->is_training());
    const auto views = torch::cat({unit_rows(samples, 4, 50).index_select(0, batch.index),
                                   unit_rows(samples, 4, 51).index_select(0, batch.index)});
    const auto z = norm->forward(views);
    return z / z.norm(2, 1, true);
  };
  const ivory::nn::JointStatistics joint(group);  // as the trainer calls hooks
  clustering->before_training(stage);
  clustering->before_epoch(stage, embed);
  return {.losses = {},
          .bank = clustering->bank,
          .assignments = clustering->assignments,
          .centroids = torch::cat(clustering->centroids)};
}

// Fewer samples than a batch, as many as one and a half: whatever the number of processes, all of them see full
// batches.
TEST_P(Processes, FillTheSameBankWithBatchStatistics) {
  const int64_t world = GetParam();
  for (const int64_t samples : {6, 12}) {
    const DeepRun joint = fill_through_batch_norm(samples, alone);
    std::vector<DeepRun> runs(world);
    in_group(world, [&](const Collective& member) { runs[member.rank()] = fill_through_batch_norm(samples, member); });
    for (const auto& run : runs) {
      EXPECT_TRUE(torch::allclose(run.bank, joint.bank, 0, 1e-12)) << samples << " samples";
      EXPECT_TRUE(torch::equal(run.assignments, joint.assignments)) << samples << " samples";
      EXPECT_TRUE(torch::allclose(run.centroids, joint.centroids, 0, 1e-12)) << samples << " samples";
    }
  }
}

// Smaller than the number of processes, or not dealt out evenly: refused before anything is computed.
TEST(Batch, ThatCannotBeDealtOutToTheProcesses) {
  in_group(4, [&](const Collective& group) {
    for (const int64_t batch : {2, 6}) {
      auto stage = stage_of(group, 0);
      stage.batch_size = batch;
      SwappedPrediction swav(ivory::nn::SwappedPredictionSpec{.width = 6, .prototypes = 5}, 0, 0);
      EXPECT_THAT(ivory::test::bad_request_of([&] { swav->before_training(stage); }),
                  testing::HasSubstr("batch_size = " + std::to_string(batch) + " cannot be dealt out to 4 processes"));
      ivory::nn::DeepCluster deep(ivory::nn::DeepClusterSpec{.width = 6, .clusters = {4}}, 12);
      EXPECT_THAT(ivory::test::bad_request_of([&] { deep->before_training(stage); }),
                  testing::HasSubstr("use 4 or another multiple of it"));
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Numbers, Processes, testing::Values(1, 2, 4));

}  // namespace
