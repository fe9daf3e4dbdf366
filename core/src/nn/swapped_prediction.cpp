#include <ivory/error.h>
#include <ivory/metrics.h>
#include <ivory/nn/swapped_prediction.h>

#include <cmath>

#include "nn/cluster_measures.h"
#include "nn/joint_batch.h"

namespace ivory::nn {
namespace {

constexpr double flat_scores = 0.3;  // standard deviations of scores / ε, below which codes are nearly uniform

}  // namespace

std::vector<Option> swapped_prediction_options() {
  return {
      {.name = "prototypes", .fallback = int64_t{3000}, .help = "Number of clusters H.", .minimum = 2, .source = "§4"},
      {.name = "temperature", .fallback = 0.1, .help = "Softmax temperature τ.", .minimum = 1e-3, .source = "Eq. 4"},
      {.name = "epsilon",
       .fallback = 0.05,
       .help = "Smoothness ε of the codes: smaller is closer to hard assignments.",
       .minimum = 1e-4,
       .source = "Eq. 2"},
      {.name = "sinkhorn_iterations",
       .fallback = int64_t{3},
       .help = "Sinkhorn-Knopp iterations.",
       .minimum = 1,
       .maximum = 1000,
       .source = "Eq. 2"},
      {.name = "freeze_steps",
       .fallback = int64_t{-1},
       .help =
           "Number of optimiser steps during which the prototypes stay frozen; -1: the first epoch (the 313 steps of "
           "SwAV's recipes are one epoch of ImageNet).",
       .minimum = -1,
       .unit = "steps"},
      {.name = "queue_length",
       .fallback = int64_t{0},
       .help = "Embeddings kept per assignment crop for small batches, a multiple of the batch size; 0: no queue.",
       .minimum = 0,
       .unit = "samples"},
      {.name = "queue_start",
       .fallback = int64_t{0},
       .help = "The queue is filled from this epoch on, when features no longer change so fast.",
       .minimum = 0,
       .unit = "epochs"},
  };
}

SwappedPredictionSpec swapped_prediction_spec(const Options& options, int64_t width, int64_t assignment_views) {
  return {.width = width,
          .prototypes = options.get<int64_t>("prototypes"),
          .temperature = options.get<double>("temperature"),
          .epsilon = options.get<double>("epsilon"),
          .iterations = options.get<int64_t>("sinkhorn_iterations"),
          .freeze_steps = options.get<int64_t>("freeze_steps"),
          .queue_length = options.get<int64_t>("queue_length"),
          .queue_start = options.get<int64_t>("queue_start"),
          .assignment_views = assignment_views};
}

SwappedPredictionImpl::SwappedPredictionImpl(const SwappedPredictionSpec& spec, int64_t samples, int64_t batch_size)
    : spec_(spec), group_(&Collective::alone()) {
  check_queue(samples, batch_size);
  prototypes = register_module("prototypes", Prototypes(spec_.width, spec_.prototypes));
  if (spec_.queue_length > 0) {
    queue = register_module("queue", FeatureQueue(spec_.assignment_views, spec_.queue_length, spec_.width));
  }
}

void SwappedPredictionImpl::check_queue(int64_t samples, int64_t batch_size) const {
  if (spec_.queue_length == 0) return;
  if (samples > 0 && spec_.queue_length > samples) {
    const int64_t batch = std::max<int64_t>(batch_size, 1);
    const std::string at_most = samples < batch ? "" : c10::str("at most ", samples / batch * batch, ", or to ");
    throw bad_request("queue_length = ", spec_.queue_length, " is longer than the data set of ", samples,
                      " samples: set it to ", at_most, "0 for no queue");
  }
  IVORY_CHECK(batch_size <= 0 || spec_.queue_length % batch_size == 0, "queue_length = ", spec_.queue_length,
              " must be a multiple of the batch size over all processes, which is ", batch_size);
}

torch::Tensor SwappedPredictionImpl::assign(const torch::Tensor& scores, int64_t view) const {
  if (queue.is_empty() || !queue->full()) return sinkhorn(scores, spec_.epsilon, spec_.iterations, *group_);
  // The queue is the same in every process: each brings its share of it to the joint batch.
  const auto share = queue->features(view).tensor_split(group_->world_size())[group_->rank()];
  const auto queued = cosine_scores(share, prototypes->weight.detach()).to(scores.scalar_type());
  const auto joint = torch::cat({scores, queued});  // [B + queue share, H]
  return sinkhorn(joint, spec_.epsilon, spec_.iterations, *group_).narrow(0, 0, scores.size(0));
}

torch::Tensor SwappedPredictionImpl::forward(const torch::Tensor& embeddings, int64_t views) {
  IVORY_CHECK(views >= 2 && views >= spec_.assignment_views && embeddings.size(0) % views == 0,
              "swapped prediction needs at least ", std::max<int64_t>(2, spec_.assignment_views),
              " views of every sample, but got ", views);
  const auto scores = prototypes->forward(embeddings);  // [V·B, H]
  const auto per_view = scores.chunk(views);
  std::vector<torch::Tensor> codes;
  for (int64_t a = 0; a < spec_.assignment_views; ++a) codes.push_back(assign(per_view[a].detach(), a));

  const auto detached = embeddings.detach().chunk(views);
  last_codes_ = torch::cat(codes);
  last_scores_ = per_view[0].detach();
  last_embeddings_ = detached[0];
  if (is_training() && fill_queue_ && !queue.is_empty()) {
    pending_.emplace_back(detached.begin(), detached.begin() + spec_.assignment_views);
  }
  return swapped_prediction_loss(codes, per_view, spec_.temperature);
}

torch::Tensor SwappedPredictionImpl::scores(const torch::Tensor& embeddings) const {
  return cosine_scores(embeddings, torch::nn::functional::normalize(prototypes->weight));
}

void SwappedPredictionImpl::before_training(const StageContext& stage) {
  if (stage.group) group_ = stage.group;
  check_joint_batch(stage.batch_size, *group_);
  check_queue(stage.samples, stage.batch_size);
}

void SwappedPredictionImpl::before_step(const StageContext& stage) {
  if (stage.group) group_ = stage.group;
  fill_queue_ = stage.epoch >= spec_.queue_start;
  pending_.clear();
  prototypes->normalize();
}

void SwappedPredictionImpl::after_backward(const StageContext& stage) {
  const int64_t frozen = spec_.freeze_steps < 0 ? stage.steps_per_epoch : spec_.freeze_steps;
  if (stage.step < frozen) prototypes->weight.mutable_grad().reset();
}

void SwappedPredictionImpl::after_step(const StageContext&) {
  if (pending_.empty()) return;
  std::vector<torch::Tensor> joint;  // per assignment view, of all micro-batches and processes
  for (int64_t a = 0; a < spec_.assignment_views; ++a) {
    std::vector<torch::Tensor> parts;
    for (const auto& micro_batch : pending_) parts.push_back(micro_batch[a]);
    joint.push_back(group_->all_gather(torch::cat(parts).to(queue->store.scalar_type())));
  }
  queue->push(joint);
  pending_.clear();
}

std::vector<Measure> SwappedPredictionImpl::measures() const {
  if (!last_codes_.defined()) return {};
  const int64_t used = std::get<0>(torch::_unique2(last_codes_.argmax(1))).numel();
  const auto prototypes_all = static_cast<double>(spec_.prototypes);
  const double spread = last_scores_.std(0, /*unbiased=*/false).mean().item<double>() / spec_.epsilon;
  return {
      {.name = "code_entropy",
       .value = mean_row_entropy(last_codes_),
       .unit = "nats",
       .compare = chance_loss(),
       .compare_label = "uniform, ln H"},
      perplexity_measure(perplexity(last_codes_), prototypes_all, last_embeddings_.size(0), "a larger epsilon"),
      rank_measure(effective_rank(last_embeddings_)),
      {.name = "empty_clusters", .value = prototypes_all - static_cast<double>(used), .unit = "prototypes"},
      {.name = "score_spread",
       .value = spread,
       .unit = "epsilon",
       .low = flat_scores,
       .if_low = "samples' scores differ by so little that all get nearly the same code; a smaller epsilon, by this "
                 "factor, would tell them apart"}};
}

double SwappedPredictionImpl::chance_loss() const {
  return std::log(static_cast<double>(spec_.prototypes));
}

int64_t SwappedPredictionImpl::count() const {
  return spec_.prototypes;
}

}  // namespace ivory::nn
