// MoCo v3: Chen et al., "An Empirical Study of Training Self-Supervised Vision Transformers", ICCV 2021.
//
//   q = predictor(projector(f(view))),  k = projector'(f'(view)),  f' and projector' moving averages without gradient
//   L = c(q1, k2) + c(q2, k1),   c(q, k) = 2τ · CE(q·kᵀ / τ, own sample)                                     (Alg. 1)
// Keys are those of the joint batch of all processes; there is no queue.
#include <ivory/nn/clustering.h>
#include <ivory/nn/ema_twin.h>
#include <ivory/nn/view_comparison.h>
#include <ivory/plugin.h>

#include <cmath>

namespace {

namespace nn = ivory::nn;
using nn::HeadSpec;
using torch::Tensor;

class MoCoV3 : public ivory::Objective {
 public:
  MoCoV3(const ivory::Options& options, const Context& context)
      : temperature_(options.get<double>("temperature")), momentum_(options) {
    nn::check_pairs("moco-v3", context);
    const bool vit = options.get<std::string>("heads") == "vit";
    const auto hidden = options.get<int64_t>("head_width"), width = options.get<int64_t>("embedding_width");
    HeadSpec spec{.widths = {context.width, hidden, width},
                  .norm = HeadSpec::Norm::all,
                  .bias = false,
                  .last = HeadSpec::Last::plain};
    if (vit) spec.widths.insert(spec.widths.begin() + 1, hidden);
    projector_ = register_module("projector", nn::comparison_head(spec));
    predictor_ =
        register_module("predictor", nn::comparison_head({.widths = {width, hidden, width},
                                                          .norm = vit ? HeadSpec::Norm::all : HeadSpec::Norm::hidden,
                                                          .bias = false,
                                                          .last = HeadSpec::Last::plain}));
    key_projector_ = nn::comparison_head(spec);
    key_model_ = context.fresh_model();
    model_twin_ = register_module("momentum_model", std::make_shared<nn::EmaTwin>(key_model_));
    projector_twin_ = register_module("momentum_projector", std::make_shared<nn::EmaTwin>(key_projector_.ptr()));
  }

  void before_training(ivory::Model& model, const ivory::StageContext& stage) override {
    group_ = stage.group;
    model_twin_->start(model);
    projector_twin_->start(*projector_);
  }
  void before_step(ivory::Model&, const ivory::StageContext& stage) override { group_ = stage.group; }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    std::vector<Tensor> q, k;  // per view: [n, width]; [N, width] of all processes
    for (const ivory::View& view : batch.views) {
      q.push_back(nn::unit_rows(predictor_->forward(projector_->forward(model.embed(view.pixels).pooled))));
    }
    for (const ivory::View& view : batch.views) k.push_back(keys(view.pixels));
    embeddings_ = q[0].detach();
    chance_ = 4 * temperature_ * std::log(static_cast<double>(k[0].size(0)));
    return {{"moco_v3", contrast(q[0], k[1]) + contrast(q[1], k[0])}};
  }

  // The average that the next step's keys are made with: its momentum is that of the next step, as in Alg. 1, where it
  // follows before the keys are made.
  void after_step(ivory::Model& model, const ivory::StageContext& stage) override {
    decay_ = momentum_.at(stage.step, stage.total_steps);
    model_twin_->follow(model, decay_);
    projector_twin_->follow(*projector_, decay_);
  }

  std::vector<ivory::Measure> measures() const override {
    if (!embeddings_.defined()) return {};
    return {nn::embedding_rank(embeddings_), {.name = "momentum", .value = decay_}};
  }
  double chance_loss() const override { return chance_; }  // 4τ ln N, when all embeddings are equal

 private:
  Tensor keys(const Tensor& images) {
    const torch::NoGradGuard no_grad;
    return group_->all_gather(nn::unit_rows(key_projector_->forward(key_model_->embed(images).pooled)));
  }

  Tensor contrast(const Tensor& q, const Tensor& k) const {
    const int64_t first = q.size(0) * group_->rank();
    const Tensor own = torch::arange(first, first + q.size(0), q.options().dtype(torch::kLong));
    return 2 * temperature_ * torch::nn::functional::cross_entropy(nn::cosine_scores(q, k) / temperature_, own);
  }

  double temperature_, decay_ = 0, chance_ = 0;
  nn::MomentumSchedule momentum_;
  const ivory::Collective* group_ = &ivory::Collective::alone();
  Tensor embeddings_;  // of the last forward
  torch::nn::Sequential projector_{nullptr}, predictor_{nullptr}, key_projector_{nullptr};
  std::shared_ptr<ivory::Model> key_model_;
  std::shared_ptr<nn::EmaTwin> model_twin_, projector_twin_;
};

std::vector<ivory::Option> options() {
  auto declared = nn::MomentumSchedule::options(0.99, "cosine");
  declared.push_back(
      {.name = "head_width", .fallback = int64_t{4096}, .help = "Hidden width of the heads.", .minimum = 1});
  declared.push_back(
      {.name = "embedding_width", .fallback = int64_t{256}, .help = "Width of queries and keys.", .minimum = 2});
  declared.push_back({.name = "heads",
                      .fallback = std::string("vit"),
                      .help = "A projector of three layers and a normalised prediction ('vit'), or of two and a plain "
                              "one ('resnet').",
                      .choices = {"vit", "resnet"}});
  declared.push_back({.name = "temperature",
                      .fallback = 0.2,
                      .help = "Softmax temperature τ; the authors have 1 for a ResNet.",
                      .minimum = 1e-3,
                      .source = "Alg. 1"});
  return declared;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "moco-v3",
      .summary =
          "A view picks the key of its sample, made by a moving average of the network, out of the batch's keys.",
      .source = "Chen et al., An Empirical Study of Training Self-Supervised Vision Transformers, ICCV 2021",
      .options = options(),
      .kinds = {ivory::SampleKind::slice, ivory::SampleKind::volume},
      .create = [](const ivory::Options& values, const ivory::Objective::Context& context) {
        return std::make_shared<MoCoV3>(values, context);
      }});
}
