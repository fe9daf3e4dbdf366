// Which classes are in a slice, or of which class a volume is, by a linear layer on frozen features: how well
// pre-trained features separate them.
//
//   L = mean over samples and classes of BCE(W norm(f) + b, present)
//
// norm: batch normalisation without affine parameters, as MAE's linear probe has it (He et al., CVPR 2022, appendix A):
// entries of features that differ little between samples would otherwise need far more steps, and the score would tell
// the features' scale instead of what they know. Its statistics in evaluation are averages over all training batches.
// f, frozen: `features = "slices"`, the multi-level features of f_intra (method.md §1), slice by slice; "tokens", the
// slice's token behind f_inter, which has seen the other slices of its volume (§3); "holistic", the feature of a whole
// volume (Eq. 10).
//
// A slice's labels come from its mask: class c is present when at least `min_pixels` pixels at the loader's size have
// it; of a volume's classes its label is the one present. The score is the mean over the classes of the area under the
// ROC curve over the split's samples. A class that all of them have, or none, has no AUC and is left out; counts say
// how often. Whole volumes, which have one class each, also have an accuracy: how many have their class's logit on top.

#include <ivory/nn/frozen_features.h>
#include <ivory/plugin.h>

namespace {

using namespace ivory;

class LinearProbe : public Task {
 public:
  LinearProbe(const Options& options, const Context& context) : frozen_("linear-probe", options, context) {
    register_module("model", frozen_.model());
    if (options.get<bool>("normalise")) {
      const auto plain = torch::nn::BatchNorm1dOptions(frozen_.width()).affine(false).momentum(std::nullopt);
      norm_ = register_module("norm", torch::nn::BatchNorm1d(plain));
    }
    head_ = register_module("head", torch::nn::Linear(frozen_.width(), frozen_.class_count()));
  }

  TaskNeeds needs() const override {
    TaskNeeds needs = frozen_.needs();
    needs.balanced = frozen_.of_slices();
    return needs;
  }

  torch::Tensor loss(const TaskBatch& batch) override {
    const auto present = frozen_.present(batch).to(head_->weight.scalar_type());
    return torch::binary_cross_entropy_with_logits(logits(batch), present);
  }

  void evaluate(const TaskBatch& batch) override {
    const torch::NoGradGuard no_grad;
    frozen_.collect(logits(batch), batch);
  }

  Scores scores() override { return frozen_.scores(); }
  std::vector<Picture> pictures(const TaskBatch&, int64_t) override { return {}; }

 private:
  // Of slices and of whole volumes [B, C], of the slices of volumes [B, F, C].
  torch::Tensor logits(const TaskBatch& batch) {
    auto features = frozen_.features(batch.images.pixels);
    if (norm_) features = normalised(features);
    const auto x = head_->forward(features);
    return x.scalar_type() == torch::kFloat64 ? x : x.to(torch::kFloat32);
  }

  // [..., D] → the same shape, every entry normalised over all samples of the batch, over those seen before in
  // evaluation and where the batch is one sample; fp32 at least.
  torch::Tensor normalised(const torch::Tensor& features) {
    const auto rows = features.flatten(0, -2);
    norm_->train(is_training() && rows.size(0) > 1);
    return norm_->forward(rows.to(torch::promoteTypes(torch::kFloat, rows.scalar_type()))).view(features.sizes());
  }

  nn::FrozenFeatures frozen_;
  torch::nn::BatchNorm1d norm_{nullptr};  // null: features as they are
  torch::nn::Linear head_{nullptr};
};

std::vector<Option> options() {
  auto declared = nn::frozen_features_options();
  declared.push_back({.name = "normalise",
                      .fallback = true,
                      .help = "Normalise the features over the batch (batch normalisation without affine parameters) "
                              "before the linear layer.",
                      .source = "He et al., CVPR 2022, appendix A"});
  return declared;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(Descriptor<Task>{
      .name = "linear-probe",
      .summary = "Linear classifier on frozen features of slices or volumes, by the area under the ROC.",
      .source = "Alain & Bengio, Understanding intermediate layers using linear classifier probes, 2016",
      .options = options(),
      .create = [](const Options& options, const Task::Context& context) {
        return std::make_shared<LinearProbe>(options, context);
      }});
}
