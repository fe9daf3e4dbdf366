// MoCo v2: Chen et al., "Improved Baselines with Momentum Contrastive Learning", 2020; He et al., "Momentum Contrast
// for Unsupervised Visual Representation Learning", CVPR 2020.
//
// A query q = head(f(view 1)) picks the key k = head'(f'(view 2)) of its sample among a queue Q of earlier keys:
//   L = mean of −ln exp(q·k / τ) / (exp(q·k / τ) + Σ_j exp(q·Q_j / τ)),   f', head' ← m f', head' + (1 − m) f, head
// Batch normalisation would tell which keys were made together with a query. Keys are therefore made in a random order
// of the joint batch, and both networks normalise over groups of a fixed number of samples, whatever the number of
// processes: the authors' shuffling, which alone does nothing in a single process.
#include <ivory/nn/clustering.h>
#include <ivory/nn/ema_twin.h>
#include <ivory/nn/feature_queue.h>
#include <ivory/nn/local_statistics.h>
#include <ivory/nn/view_comparison.h>
#include <ivory/plugin.h>
#include <ivory/random.h>

#include <cmath>
#include <numeric>

namespace {

namespace nn = ivory::nn;
using torch::Tensor;

constexpr uint64_t key_stream = 0x6d6f636f;  // keeps the order of the keys apart from the loader's draws

class MoCo : public ivory::Objective {
 public:
  MoCo(const ivory::Options& options, const Context& context)
      : temperature_(options.get<double>("temperature")),
        group_size_(options.get<int64_t>("norm_group")),
        momentum_(options) {
    nn::check_pairs("moco-v2", context);
    const auto hidden = options.get<int64_t>("head_width"), width = options.get<int64_t>("embedding_width");
    const auto length = options.get<int64_t>("queue_length");
    IVORY_CHECK(length % std::max<int64_t>(context.batch_size, 1) == 0, "moco-v2: queue_length = ", length,
                " must be a multiple of the batch size over all processes, which is ", context.batch_size);
    nn::check_memory(c10::str("moco-v2: queue_length = ", length), 4.0 * static_cast<double>(length * width));
    const nn::HeadSpec spec{.widths = {context.width, hidden, width}, .norm = nn::HeadSpec::Norm::none};
    head_ = register_module("head", nn::comparison_head(spec));
    key_head_ = nn::comparison_head(spec);
    key_model_ = context.fresh_model();
    model_twin_ = register_module("key_model", std::make_shared<nn::EmaTwin>(key_model_));
    head_twin_ = register_module("key_head", std::make_shared<nn::EmaTwin>(key_head_.ptr()));
    queue_ = register_module("queue", nn::FeatureQueue(1, length, width));
    queue_->store.copy_(nn::unit_rows(torch::randn({length, width})));
  }

  void before_training(ivory::Model& model, const ivory::StageContext&) override {
    model_twin_->start(model);
    head_twin_->start(*head_);
  }
  void before_step(ivory::Model&, const ivory::StageContext& stage) override {
    group_ = stage.group;
    seed_ = ivory::mix(stage.seed, key_stream);
    step_ = stage.step;
    pending_.clear();
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    const int64_t n = batch.size();
    const Tensor q = embed(model, head_, batch.views[0].pixels, n);  // [n, width]
    const Tensor joint_keys = keys(batch.views[1].pixels, n);        // [N, width], of all processes
    const Tensor k = joint_keys.narrow(0, n * group_->rank(), n);
    const Tensor positive = (q * k).sum(1, /*keepdim=*/true);
    const Tensor scores = torch::cat({positive, nn::cosine_scores(q, queue_->features(0))}, 1) / temperature_;
    if (is_training()) pending_.push_back(joint_keys);
    embeddings_ = q.detach();
    alignment_ = positive.detach().mean();
    const Tensor first = torch::zeros({n}, scores.options().dtype(torch::kLong));
    return {{"moco_v2", torch::nn::functional::cross_entropy(scores, first)}};
  }

  void after_step(ivory::Model& model, const ivory::StageContext& stage) override {
    if (!pending_.empty()) queue_->push({torch::cat(pending_).to(queue_->store.scalar_type())});
    pending_.clear();
    decay_ = momentum_.at(stage.step, stage.total_steps);
    model_twin_->follow(model, decay_);
    head_twin_->follow(*head_, decay_);
  }

  std::vector<ivory::Measure> measures() const override {
    if (!embeddings_.defined()) return {};
    return {nn::embedding_rank(embeddings_),
            {.name = "alignment", .value = alignment_.item<double>(), .compare = 1, .compare_label = "equal views"},
            {.name = "momentum", .value = decay_}};
  }
  double chance_loss() const override { return std::log(1 + static_cast<double>(queue_->store.size(1))); }

 private:
  // Unit embeddings [n, width]; batch normalisation over groups of the joint batch.
  Tensor embed(ivory::Model& model, torch::nn::Sequential& head, const Tensor& images, int64_t n) {
    const auto whole = [&](const Tensor& part) { return nn::unit_rows(head->forward(model.embed(part).pooled)); };
    if (group_size_ == 0 || group_size_ >= n * group_->world_size()) return whole(images);
    IVORY_CHECK(n % group_size_ == 0, "moco-v2: norm_group = ", group_size_, " does not divide the ", n,
                " samples of a process's batch");
    const nn::LocalStatistics local;
    std::vector<Tensor> groups;
    for (const Tensor& part : images.split(group_size_)) groups.push_back(whole(part));
    return torch::cat(groups);
  }

  // Keys of the joint batch [N, width], without gradient: made in a random order, returned in the samples'.
  Tensor keys(const Tensor& images, int64_t n) {
    const torch::NoGradGuard no_grad;
    const Tensor order = draw_order(n * group_->world_size()).to(images.device());
    const Tensor share = group_->all_gather(images).index_select(0, order.narrow(0, n * group_->rank(), n));
    const Tensor shuffled = group_->all_gather(embed(*key_model_, key_head_, share, n));
    return torch::empty_like(shuffled).index_copy_(0, order, shuffled);
  }

  // A pure function of the seed and the step: the same in all processes.
  Tensor draw_order(int64_t count) const {
    ivory::CounterRandom random(seed_, static_cast<uint64_t>(step_), pending_.size(), 0);
    std::vector<int64_t> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    for (int64_t i = count - 1; i > 0; --i) std::swap(order[i], order[random.below(i + 1)]);
    return torch::tensor(order);
  }

  double temperature_, decay_ = 0;
  int64_t group_size_, step_ = 0;
  uint64_t seed_ = 0;
  nn::MomentumSchedule momentum_;
  const ivory::Collective* group_ = &ivory::Collective::alone();
  std::vector<Tensor> pending_;    // keys of this step's micro-batches
  Tensor embeddings_, alignment_;  // of the last forward
  torch::nn::Sequential head_{nullptr}, key_head_{nullptr};
  std::shared_ptr<ivory::Model> key_model_;
  std::shared_ptr<nn::EmaTwin> model_twin_, head_twin_;
  nn::FeatureQueue queue_{nullptr};
};

std::vector<ivory::Option> options() {
  auto declared = nn::projection_head_options();
  declared[1].help = "Width of queries and keys.";
  for (auto& option : nn::MomentumSchedule::options(0.999, "constant")) declared.push_back(std::move(option));
  declared.push_back({.name = "queue_length",
                      .fallback = int64_t{65536},
                      .help = "Earlier keys that a query is compared with, a multiple of the batch size.",
                      .minimum = 1,
                      .unit = "samples"});
  declared.push_back(
      {.name = "temperature", .fallback = 0.2, .help = "Softmax temperature τ.", .minimum = 1e-3, .source = "Eq. 1"});
  declared.push_back({.name = "norm_group",
                      .fallback = int64_t{256},
                      .help = "Samples that batch normalisation sees at a time, a divisor of each process's batch; 0, "
                              "or as many as the joint batch: all of it.",
                      .minimum = 0,
                      .unit = "samples"});
  return declared;
}

std::vector<std::string> advise(const ivory::Options& values, const ivory::StageFacts& facts) {
  std::vector<std::string> advice;
  const auto group = values.get<int64_t>("norm_group"), length = values.get<int64_t>("queue_length");
  if (facts.batch > 0 && (group == 0 || group >= facts.batch)) {
    advice.push_back(c10::str("moco-v2: batch normalisation sees query and key batches of ", facts.batch,
                              " samples as a whole, which can tell them apart: set norm_group to ", facts.batch / 2,
                              " or less"));
  }
  if (facts.samples > 0 && length > facts.samples) {
    advice.push_back(c10::str("moco-v2: queue_length = ", length, " is longer than the data set of ", facts.samples,
                              " samples, so that a sample's own earlier keys count as others"));
  }
  return advice;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "moco-v2",
      .summary = "A view picks the key of its sample, made by a moving average of the network, out of a queue of keys.",
      .source = "Chen et al., Improved Baselines with Momentum Contrastive Learning, 2020",
      .options = options(),
      .kinds = {ivory::SampleKind::slice, ivory::SampleKind::volume},
      .advise = advise,
      .create = [](const ivory::Options& values, const ivory::Objective::Context& context) {
        return std::make_shared<MoCo>(values, context);
      }});
}
