// USST: Xie et al., "UniMiSS: Universal Medical Self-Supervised Learning via Breaking Dimensionality Barrier", ECCV
// 2022. DINO on images and on volumes through one network, in alternating phases of some epochs:
//   images:  d(student, teacher) between two crops (nn/self_distillation) volumes: each also goes through the network
//   of images, slice by slice, its outputs averaged (S beside V):
//            L = d(V, V) + d(S, V) + d(S, S) + d(V, S), of the student and the teacher
// The stage lists the objective twice, on slices and on volumes; both train one head, and the teacher follows once.
// What only volumes use has no gradient in the phases of images, so that it stays as it is.
#include <ivory/nn/ema_twin.h>
#include <ivory/nn/self_distillation.h>
#include <ivory/nn/view_comparison.h>
#include <ivory/plugin.h>

namespace {

namespace nn = ivory::nn;
using ivory::SampleKind;
using torch::Tensor;

constexpr int64_t compared = 2;  // views

class Usst : public ivory::Objective {
 public:
  Usst(const ivory::Options& options, const Context& context)
      : on_(context.on), phase_epochs_(options.get<int64_t>("phase_epochs")) {
    nn::check_pairs("usst", context);
    for (const auto& other : context.beside) {
      if (const auto* same = dynamic_cast<const Usst*>(other.get())) shared_ = same->shared_;
    }
    owner_ = shared_ == nullptr;
    if (owner_) shared_ = register_module("shared", std::make_shared<Shared>(options, context));
    IVORY_CHECK(shared_->width == context.width, "usst needs a model whose features of images and of volumes have one ",
                "width, but they have ", shared_->width, " and ", context.width);
    shared_->kinds[on_ == SampleKind::volume] = true;
  }

  void before_training(ivory::Model& model, const ivory::StageContext&) override {
    IVORY_CHECK(shared_->kinds[0] && shared_->kinds[1], "usst alternates between images and volumes, but learns from ",
                shared_->kinds[0] ? "images" : "volumes", " alone: list it twice in the stage's objectives, with ",
                "on = \"slices\" and with on = \"volumes\"");
    if (!owner_) return;
    shared_->model_twin->start(model);
    shared_->head_twin->start(*shared_->head);
    nn::keep_all_paths(*shared_->model_twin);
  }
  bool takes_part(const ivory::StageContext& stage) const override {
    const bool volumes = stage.epoch / phase_epochs_ % 2 == 1;
    return volumes == (on_ == SampleKind::volume);
  }
  void before_step(ivory::Model&, const ivory::StageContext& stage) override {
    if (owner_) shared_->loss->before_step(stage);
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    const auto views = ivory::pixels_of(batch);
    const auto student = outputs(model, shared_->head, views);
    if (on_ == SampleKind::slice) return {{"usst", distance(student, teach(views))}};
    const auto slices = slices_of(views);
    const auto student_slices = averaged(outputs(model, shared_->head, slices), views);
    const auto teacher = teach(views);
    const auto teacher_slices = averaged(teach(slices), views);
    // In this order: each moves the centre.
    Tensor loss = distance(student, teacher);
    loss = loss + distance(student_slices, teacher);
    loss = loss + distance(student_slices, teacher_slices);
    return {{"usst", loss + distance(student, teacher_slices)}};
  }

  void after_backward(ivory::Model&, const ivory::StageContext& stage) override {
    if (owner_ && stage.epoch < shared_->spec.freeze_last_layer) shared_->head->drop_last_gradient();
  }
  void after_step(ivory::Model& model, const ivory::StageContext& stage) override {
    if (!owner_) return;
    const double momentum = shared_->momentum.at(stage.step - 1, stage.total_steps);
    shared_->model_twin->follow(model, momentum);
    shared_->head_twin->follow(*shared_->head, momentum);
  }

  std::vector<ivory::Measure> measures() const override {
    return seen_ ? shared_->loss->measures() : std::vector<ivory::Measure>();
  }
  double chance_loss() const override { return (on_ == SampleKind::slice ? 1 : 4) * shared_->loss->chance_loss(); }

 private:
  // What images and volumes train together; a part of the one that was created first.
  struct Shared : torch::nn::Module {
    Shared(const ivory::Options& options, const Context& context)
        : spec(nn::distillation_spec("usst", options)), momentum(options), width(context.width) {
      head = register_module("head", nn::DistillationHead(width, spec));
      loss = register_module("loss", nn::DistillationLoss(spec));
      teacher_head = nn::DistillationHead(width, spec);
      teacher = context.fresh_model();
      model_twin = register_module("teacher", std::make_shared<nn::EmaTwin>(teacher));
      head_twin = register_module("teacher_head", std::make_shared<nn::EmaTwin>(teacher_head.ptr()));
    }

    nn::DistillationSpec spec;
    nn::MomentumSchedule momentum;
    int64_t width;
    std::array<bool, 2> kinds = {};  // slices, volumes
    nn::DistillationHead head{nullptr}, teacher_head{nullptr};
    nn::DistillationLoss loss{nullptr};
    std::shared_ptr<ivory::Model> teacher;
    std::shared_ptr<nn::EmaTwin> model_twin, head_twin;
  };

  // Per view [B, K].
  static std::vector<Tensor> outputs(ivory::Model& model, nn::DistillationHead& head,
                                     const std::vector<Tensor>& views) {
    return head->forward(nn::pooled_views(model, views)).chunk(compared);
  }
  std::vector<Tensor> teach(const std::vector<Tensor>& views) {
    const torch::NoGradGuard no_grad;
    return outputs(*shared_->teacher, shared_->teacher_head, views);
  }
  Tensor distance(const std::vector<Tensor>& student, const std::vector<Tensor>& teacher) {
    seen_ = true;
    return shared_->loss->forward(student, teacher);
  }

  static std::vector<Tensor> slices_of(const std::vector<Tensor>& volumes) {  // [B, 1, D, H, W] → [B · D, 1, H, W]
    std::vector<Tensor> slices;
    for (const Tensor& volume : volumes) slices.push_back(volume.squeeze(1).flatten(0, 1).unsqueeze(1));
    return slices;
  }
  static std::vector<Tensor> averaged(std::vector<Tensor> of_slices, const std::vector<Tensor>& volumes) {
    for (Tensor& outputs : of_slices) outputs = outputs.unflatten(0, {volumes[0].size(0), volumes[0].size(2)}).mean(1);
    return of_slices;
  }

  SampleKind on_;
  int64_t phase_epochs_;
  bool owner_, seen_ = false;
  std::shared_ptr<Shared> shared_;
};

std::vector<ivory::Option> options() {
  auto declared = nn::distillation_options();
  for (auto& option : nn::MomentumSchedule::options(0.996, "cosine")) declared.push_back(std::move(option));
  declared.push_back({.name = "phase_epochs",
                      .fallback = int64_t{2},
                      .help = "Epochs of images, then of volumes, and again.",
                      .minimum = 1,
                      .unit = "epochs"});
  return declared;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "usst",
      .summary = "Self-distillation on images and on volumes, as such and slice by slice, in alternating phases.",
      .source = "Xie et al., UniMiSS: Universal Medical Self-Supervised Learning, ECCV 2022",
      .options = options(),
      .kinds = {SampleKind::slice, SampleKind::volume},
      .create = [](const ivory::Options& values, const ivory::Objective::Context& context) {
        return std::make_shared<Usst>(values, context);
      }});
}
