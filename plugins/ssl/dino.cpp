// DINO: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021.
//
// A student sees all crops of a slice or volume, its moving average, the teacher, the first two, the global ones:
//   L = mean over global crops i and crops v ≠ i of −Σ softmax((t_i − c) / τt) · log softmax(s_v / τs)      (Eq. 2, 3)
//   c ← m c + (1 − m) mean(t),   θt ← λ θt + (1 − λ) θs after each step                                          (Eq.
//   4)
#include <ivory/nn/ema_twin.h>
#include <ivory/nn/self_distillation.h>
#include <ivory/nn/view_comparison.h>
#include <ivory/plugin.h>

namespace {

namespace nn = ivory::nn;
using torch::Tensor;

constexpr size_t global_crops = 2;

class Dino : public ivory::Objective {
 public:
  Dino(const ivory::Options& options, const Context& context)
      : spec_(nn::distillation_spec("dino", options)), momentum_(options) {
    IVORY_CHECK(context.views == 0 || context.views >= 2, "dino needs 2 global crops of a sample, but got ",
                context.views, " in all");
    head_ = register_module("head", nn::DistillationHead(context.width, spec_));
    loss_ = register_module("loss", nn::DistillationLoss(spec_));
    teacher_head_ = nn::DistillationHead(context.width, spec_);
    teacher_ = context.fresh_model();
    model_twin_ = register_module("teacher", std::make_shared<nn::EmaTwin>(teacher_));
    head_twin_ = register_module("teacher_head", std::make_shared<nn::EmaTwin>(teacher_head_.ptr()));
  }

  void before_training(ivory::Model& model, const ivory::StageContext&) override {
    model_twin_->start(model);
    head_twin_->start(*head_);
    nn::keep_all_paths(*model_twin_);
  }
  void before_step(ivory::Model&, const ivory::StageContext& stage) override { loss_->before_step(stage); }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    const auto views = ivory::pixels_of(batch);
    check_crops(views);
    const Tensor features = nn::pooled_views(model, views);  // [V·B, width]
    const auto student = head_->forward(features).chunk(static_cast<int64_t>(views.size()));
    embeddings_ = features.detach().narrow(0, 0, batch.size());
    return {{"dino", loss_->forward(student, teach({views[0], views[1]}))}};
  }

  void after_backward(ivory::Model&, const ivory::StageContext& stage) override {
    if (stage.epoch < spec_.freeze_last_layer) head_->drop_last_gradient();
  }
  // By the momentum of the step that was taken.
  void after_step(ivory::Model& model, const ivory::StageContext& stage) override {
    decay_ = momentum_.at(stage.step - 1, stage.total_steps);
    model_twin_->follow(model, decay_);
    head_twin_->follow(*head_, decay_);
  }

  std::vector<ivory::Measure> measures() const override {
    if (!embeddings_.defined()) return {};
    auto measures = loss_->measures();
    measures.push_back(nn::embedding_rank(embeddings_));
    measures.push_back({.name = "momentum", .value = decay_});
    return measures;
  }
  double chance_loss() const override { return loss_->chance_loss(); }

 private:
  std::vector<Tensor> teach(const std::vector<Tensor>& views) {  // each [B, K]
    const torch::NoGradGuard no_grad;
    return teacher_head_->forward(nn::pooled_views(*teacher_, views)).chunk(global_crops);
  }

  static void check_crops(const std::vector<Tensor>& views) {
    const auto voxels = [](const Tensor& view) { return view[0].numel(); };
    for (const Tensor& view : views) {
      IVORY_CHECK(voxels(views[0]) == voxels(views[1]) && voxels(view) <= voxels(views[0]),
                  "dino needs 2 global crops before the local ones, but the first two are ", views[0].sizes().slice(1),
                  " and ", views[1].sizes().slice(1), ", and one is ", view.sizes().slice(1),
                  ": set crops to [{ count = 2, size = LARGE }, { count = …, size = SMALL }]");
    }
  }

  nn::DistillationSpec spec_;
  nn::MomentumSchedule momentum_;
  double decay_ = 0;
  Tensor embeddings_;  // of the last forward
  nn::DistillationHead head_{nullptr}, teacher_head_{nullptr};
  nn::DistillationLoss loss_{nullptr};
  std::shared_ptr<ivory::Model> teacher_;
  std::shared_ptr<nn::EmaTwin> model_twin_, head_twin_;
};

std::vector<ivory::Option> options() {
  auto declared = nn::distillation_options();
  for (auto& option : nn::MomentumSchedule::options(0.996, "cosine")) declared.push_back(std::move(option));
  return declared;
}

std::vector<std::string> remedies(const ivory::Options&, const ivory::StageFacts&) {
  return {"a smaller K (outputs)", "a lower teacher_temperature", "a lower learning rate"};
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "dino",
      .summary = "A student predicts the outputs of its moving average, which sees other crops of the same sample.",
      .source = "Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021",
      .options = options(),
      .kinds = {ivory::SampleKind::slice, ivory::SampleKind::volume},
      .remedies = remedies,
      .create = [](const ivory::Options& values, const ivory::Objective::Context& context) {
        return std::make_shared<Dino>(values, context);
      }});
}
