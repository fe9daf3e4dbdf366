#include <ivory/error.h>
#include <ivory/metrics.h>
#include <ivory/nn/clustering.h>
#include <ivory/nn/deep_cluster.h>
#include <ivory/nn/k_means.h>
#include <ivory/random.h>

#include <cmath>
#include <numeric>
#include <unordered_set>

#include "nn/cluster_measures.h"
#include "nn/joint_batch.h"

namespace ivory::nn {
namespace {

namespace F = torch::nn::functional;

constexpr int64_t none = -100;                    // assignment of a sample that has none
constexpr uint64_t centroid_stream = 0x6b6d6e73;  // keeps these draws apart from the loader's

// Positions of the last occurrence of each sample: a small data set is repeated within a batch.
torch::Tensor last_occurrences(const torch::Tensor& index) {
  const auto ids = index.to(torch::kCPU).contiguous();
  std::unordered_set<int64_t> seen;
  std::vector<int64_t> positions;
  for (int64_t i = ids.numel() - 1; i >= 0; --i) {
    if (seen.insert(ids.data_ptr<int64_t>()[i]).second) positions.push_back(i);
  }
  return torch::tensor(positions, torch::kLong).to(index.device());
}

// `count` distinct ones of `candidates`.
std::vector<int64_t> draw(std::vector<int64_t> candidates, int64_t count, CounterRandom random) {
  const auto total = static_cast<int64_t>(candidates.size());
  for (int64_t i = 0; i < count; ++i) std::swap(candidates[i], candidates[i + random.below(total - i)]);
  candidates.resize(count);
  return candidates;
}

}  // namespace

std::vector<Option> deep_cluster_options(std::vector<int64_t> clusters) {
  return {{.name = "clusters",
           .fallback = std::move(clusters),
           .help = "Number of clusters of each k-means head; at most the number of samples.",
           .minimum = 2},
          {.name = "kmeans_iterations",
           .fallback = int64_t{10},
           .help = "Iterations of k-means before each epoch.",
           .minimum = 1,
           .maximum = 1000}};
}

DeepClusterSpec deep_cluster_spec(const Options& options, int64_t width, int64_t assignment_views) {
  return {.width = width,
          .clusters = options.get<std::vector<int64_t>>("clusters"),
          .temperature = options.get<double>("temperature"),
          .iterations = options.get<int64_t>("kmeans_iterations"),
          .assignment_views = assignment_views};
}

DeepClusterImpl::DeepClusterImpl(const DeepClusterSpec& spec, int64_t samples)
    : spec_(spec), group_(&Collective::alone()) {
  IVORY_CHECK(!spec.clusters.empty(), "clusters must name at least one head, e.g. [3000, 3000, 3000]");
  check_clusters(samples);
  bank = register_buffer("bank", torch::empty({0}));
  assignments = register_buffer("assignments", torch::empty({0}, torch::kLong));
  for (size_t h = 0; h < spec.clusters.size(); ++h) {
    centroids.push_back(
        register_buffer("centroids_" + std::to_string(h), torch::zeros({spec.clusters[h], spec.width})));
  }
  make_bank(samples);
}

void DeepClusterImpl::check_clusters(int64_t samples) const {
  const int64_t most = *std::max_element(spec_.clusters.begin(), spec_.clusters.end());
  IVORY_CHECK(samples == 0 || most <= samples, "clusters = ", to_text(spec_.clusters), ": k-means cannot make ", most,
              " clusters of ", samples, " samples: set clusters to at most ", samples, " per head, better ",
              std::max<int64_t>(2, samples / 10));
}

void DeepClusterImpl::make_bank(int64_t samples) {
  const auto heads = static_cast<int64_t>(spec_.clusters.size());
  bank.set_data(torch::zeros({spec_.assignment_views, samples, spec_.width}, centroids[0].options()));
  assignments.set_data(torch::full({heads, samples}, none, centroids[0].options().dtype(torch::kLong)));
}

torch::Tensor DeepClusterImpl::forward(const torch::Tensor& embeddings, int64_t views, const torch::Tensor& index) {
  IVORY_CHECK(views >= spec_.assignment_views && embeddings.size(0) == views * index.size(0),
              "deepcluster-v2 needs at least ", spec_.assignment_views, " views of every sample, but got ", views,
              " of ", index.size(0), " samples in ", embeddings.size(0), " embeddings");
  const auto ids = index.to(assignments.device(), torch::kLong);
  const auto targets = assignments.index_select(1, ids).to(torch::kLong);  // [heads, B]
  const auto heads = static_cast<int64_t>(centroids.size());
  const auto assigned = mean_assigned(targets) * views;  // [heads]
  torch::Tensor loss;
  for (int64_t h = 0; h < heads; ++h) {
    const auto target = targets[h].repeat({views});                                   // [V·B]
    const auto logits = cosine_scores(embeddings, centroids[h]) / spec_.temperature;  // [V·B, K]
    const auto options = F::CrossEntropyFuncOptions().ignore_index(none).reduction(torch::kSum);
    const auto term = F::cross_entropy(logits, target, options) / assigned[h].to(logits.scalar_type());
    loss = loss.defined() ? loss + term : term;
  }
  const auto detached = embeddings.detach().chunk(views);
  last_targets_ = targets[0];
  last_embeddings_ = detached[0];
  if (is_training()) pending_.push_back({ids, {detached.begin(), detached.begin() + spec_.assignment_views}});
  return loss / static_cast<double>(heads);
}

// [heads, B] → [heads]: samples of a batch with an assignment, on average over the processes, whose gradients are
// averaged: so every sample counts alike, whichever process has it.
torch::Tensor DeepClusterImpl::mean_assigned(const torch::Tensor& targets) const {
  auto count = targets.ne(none).sum(1).to(torch::kDouble);
  if (is_training()) {
    group_->all_reduce_sum(count);
    count /= static_cast<double>(group_->world_size());
  }
  return torch::where(count.gt(0), count, 1.0);
}

torch::Tensor DeepClusterImpl::scores(const torch::Tensor& embeddings) const {
  return cosine_scores(embeddings, centroids[0]);
}

void DeepClusterImpl::before_training(const StageContext& stage) {
  if (stage.group) group_ = stage.group;
  check_joint_batch(stage.batch_size, *group_);
  check_clusters(stage.samples);
  if (bank.size(1) != stage.samples) make_bank(stage.samples);
}

void DeepClusterImpl::before_epoch(const StageContext& stage, const Embed& embed) {
  if (stage.group) group_ = stage.group;
  const torch::NoGradGuard no_grad;
  if (!bank.any().item<bool>()) fill_bank(stage, embed);
  for (size_t h = 0; h < centroids.size(); ++h) cluster(stage, static_cast<int64_t>(h));
}

void DeepClusterImpl::fill_bank(const StageContext& stage, const Embed& embed) {
  IVORY_CHECK(stage.for_each_batch,
              "deepcluster-v2 fills its bank before the first epoch, but the stage's data cannot be visited: "
              "for_each_batch is not set");
  stage.for_each_batch(Tail::filled, [&](const Batch& batch) {
    Batch assigned{.kind = batch.kind, .views = batch.views, .index = batch.index};
    assigned.views.resize(spec_.assignment_views);
    std::vector<torch::Tensor> joint;  // per assignment view, of all processes
    for (const auto& own : embed(assigned).chunk(spec_.assignment_views)) {
      joint.push_back(group_->all_gather(own.to(bank.scalar_type())));
    }
    write(group_->all_gather(batch.index.to(torch::kLong)), joint);
  });
}

void DeepClusterImpl::write(const torch::Tensor& index, const std::vector<torch::Tensor>& embeddings) {
  const torch::NoGradGuard no_grad;
  const auto positions = last_occurrences(index.to(torch::kLong));
  const auto rows = index.to(bank.device(), torch::kLong).index_select(0, positions.to(bank.device()));
  for (int64_t a = 0; a < spec_.assignment_views; ++a) {
    bank[a].index_copy_(0, rows, embeddings[a].to(bank.scalar_type()).index_select(0, positions));
  }
}

void DeepClusterImpl::cluster(const StageContext& stage, int64_t head) {
  const auto points = bank[head % spec_.assignment_views];    // [samples, width]
  const auto seen = points.ne(0).any(1).nonzero().flatten();  // [S] ids, the same in every process
  const int64_t count = spec_.clusters[head];
  if (seen.numel() < count) {
    throw run_failed("deepcluster-v2: only ", seen.numel(), " of ", stage.samples,
                     " samples have an embedding, fewer than the ", count, " clusters of head ", head + 1);
  }
  const auto ids = seen.to(torch::kCPU).contiguous();
  const CounterRandom random(mix(stage.seed, centroid_stream), stage.epoch, head, 0);
  const auto first = draw({ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + ids.numel()}, count, random);
  const auto initial = points.index_select(0, torch::tensor(first, torch::kLong).to(points.device()));
  const auto mine = seen.tensor_split(group_->world_size())[group_->rank()];
  const auto found = spherical_k_means(points.index_select(0, mine), initial, spec_.iterations, *group_);
  centroids[head].copy_(found.centroids);
  auto joint = torch::zeros({points.size(0)}, seen.options());  // cluster + 1; every row is set in one process
  joint.index_copy_(0, mine, found.assignments + 1);
  group_->all_reduce_sum(joint);
  assignments[head].copy_(torch::where(joint.gt(0), joint - 1, none));
}

void DeepClusterImpl::before_step(const StageContext& stage) {
  if (stage.group) group_ = stage.group;
  pending_.clear();
}

void DeepClusterImpl::after_step(const StageContext&) {
  if (pending_.empty()) return;
  std::vector<torch::Tensor> index, joint;
  for (const auto& seen : pending_) index.push_back(seen.index);
  for (int64_t a = 0; a < spec_.assignment_views; ++a) {
    std::vector<torch::Tensor> parts;
    for (const auto& seen : pending_) parts.push_back(seen.embeddings[a]);
    joint.push_back(group_->all_gather(torch::cat(parts).to(bank.scalar_type())));
  }
  write(group_->all_gather(torch::cat(index)), joint);
  pending_.clear();
}

// Of the last clustering, over all heads; from what a checkpoint holds.
int64_t DeepClusterImpl::empty_clusters() const {
  int64_t empty = 0;
  for (size_t h = 0; h < centroids.size(); ++h) {
    const auto head = assignments[static_cast<int64_t>(h)];
    const auto assigned = head.masked_select(head.ne(none));
    empty += spec_.clusters[h] - std::get<0>(torch::_unique2(assigned)).numel();
  }
  return empty;
}

std::vector<Measure> DeepClusterImpl::measures() const {
  if (!last_targets_.defined()) return {};
  std::vector<Measure> all = {
      {.name = "empty_clusters", .value = static_cast<double>(empty_clusters()), .unit = "clusters"},
      rank_measure(effective_rank(last_embeddings_))};
  const auto assigned = last_targets_.masked_select(last_targets_.ne(none));
  if (assigned.numel() > 0) {
    const double used = perplexity(torch::one_hot(assigned, spec_.clusters[0]));
    all.insert(all.begin(), perplexity_measure(used, static_cast<double>(spec_.clusters[0]), last_targets_.numel(),
                                               "fewer clusters"));
  }
  return all;
}

double DeepClusterImpl::chance_loss() const {
  double sum = 0;
  for (const int64_t clusters : spec_.clusters) sum += std::log(static_cast<double>(clusters));
  return sum / static_cast<double>(spec_.clusters.size());
}

int64_t DeepClusterImpl::count() const {
  return spec_.clusters[0];
}

}  // namespace ivory::nn
