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

#include <ivory/metrics.h>
#include <ivory/plugin.h>

namespace {

using namespace ivory;

class LinearProbe : public Task {
 public:
  LinearProbe(const Options& options, const Context& context)
      : min_pixels_(options.get<int64_t>("min_pixels")),
        features_(options.get<std::string>("features")),
        holistic_(features_ == "holistic"),
        classes_(context.classes) {
    IVORY_CHECK(!classes_.empty(), "task linear-probe: at least one class is needed, none is declared");
    IVORY_CHECK(context.model && context.model->intra, "task linear-probe: a slice backbone is needed, there is none");
    IVORY_CHECK(!holistic_ || classes_.size() > 1,
                "task linear-probe: whole volumes need at least two classes, the negative one too, got 1");
    IVORY_CHECK(of_slices() || context.model->has_inter(), "task linear-probe: features = \"", features_,
                "\" are a volume backbone's, [model] names none");
    model_ = register_module("model", context.model);
    for (auto& parameter : model_->parameters()) parameter.requires_grad_(false);
    const int64_t width = of_slices() ? model_->feature_width() : model_->token_width();
    if (options.get<bool>("normalise")) {
      norm_ = register_module(
          "norm", torch::nn::BatchNorm1d(torch::nn::BatchNorm1dOptions(width).affine(false).momentum(std::nullopt)));
    }
    head_ = register_module("head", torch::nn::Linear(width, static_cast<int64_t>(classes_.size())));
  }

  TaskNeeds needs() const override {
    return {.unit = of_slices() ? TaskUnit::slice : TaskUnit::volume, .masks = !holistic_, .balanced = of_slices()};
  }

  torch::Tensor loss(const TaskBatch& batch) override {
    return torch::binary_cross_entropy_with_logits(logits(batch.images), present(batch));
  }

  void evaluate(const TaskBatch& batch) override {
    const torch::NoGradGuard no_grad;
    logits_.push_back(logits(batch.images).flatten(0, -2).to(torch::kCPU, torch::kFloat64));
    present_.push_back(present(batch).flatten(0, -2).to(torch::kCPU, torch::kInt64));
  }

  Scores scores() override;
  std::vector<Picture> pictures(const TaskBatch&, int64_t) override { return {}; }

 private:
  bool of_slices() const { return features_ == "slices"; }

  // [B, 1, H, W] → [B, C], of volumes [B, F, 1, H, W] → [B, F, C], or [B, C] of whole ones. The backbone is in
  // evaluation mode whatever the mode is now: its statistics are frozen too.
  torch::Tensor logits(const torch::Tensor& images) {
    model_->eval();
    torch::Tensor features;
    {
      const torch::NoGradGuard no_grad;
      if (of_slices()) {
        features = model_->slice_features(images.unsqueeze(1)).squeeze(1);  // [B, sum of widths]
      } else {
        const Features of_volumes = model_->embed(images);
        features = holistic_ ? of_volumes.pooled : of_volumes.tokens;  // [B, D] or [B, F, D]
      }
    }
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

  // Of masks [B, H, W] → [B, C], of [B, F, H, W] → [B, F, C], of labels [B] → [B, C]; 0 or 1.
  torch::Tensor present(const TaskBatch& batch) const {
    std::vector<torch::Tensor> columns;
    for (int64_t c = 0; c < static_cast<int64_t>(classes_.size()); ++c) {
      columns.push_back(holistic_ ? batch.labels == c : (batch.masks == c + 1).sum({-2, -1}) >= min_pixels_);
    }
    return torch::stack(columns, -1).to(head_->weight.scalar_type());
  }

  int64_t min_pixels_;
  std::string features_;
  bool holistic_;
  std::vector<std::string> classes_;
  std::shared_ptr<Model> model_;
  torch::nn::BatchNorm1d norm_{nullptr};  // null: features as they are
  torch::nn::Linear head_{nullptr};
  std::vector<torch::Tensor> logits_, present_;  // of the split, batch by batch
};

Scores LinearProbe::scores() {
  const std::string samples = holistic_ ? "volumes" : "slices";
  IVORY_CHECK(!logits_.empty(), "task linear-probe: the split has no ", samples, " to score");
  const auto predicted = torch::cat(logits_), truth = torch::cat(present_);  // [N, C]
  logits_.clear();
  present_.clear();
  Scores result = auc_scores(predicted, truth, classes_, "linear-probe", samples);
  if (holistic_) {
    const auto right = (predicted.argmax(1) == truth.argmax(1)).to(torch::kFloat64);
    result.values.insert(result.values.begin() + 1, {"accuracy", right.mean().item<double>()});
  }
  return result;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(Descriptor<Task>{
      .name = "linear-probe",
      .summary = "Linear classifier on frozen features of slices or volumes, by the area under the ROC.",
      .source = "Alain & Bengio, Understanding intermediate layers using linear classifier probes, 2016",
      .options = {{.name = "min_pixels",
                   .fallback = int64_t{1},
                   .help = "Pixels of a class that make it present in a slice.",
                   .minimum = 1,
                   .unit = "pixels"},
                  {.name = "normalise",
                   .fallback = true,
                   .help = "Normalise the features over the batch (batch normalisation without affine parameters) "
                           "before the linear layer.",
                   .source = "He et al., CVPR 2022, appendix A"},
                  {.name = "features",
                   .fallback = std::string("slices"),
                   .help =
                       "'slices': of f_intra; 'tokens': of f_inter, each slice seen with its volume; 'holistic': of "
                       "whole volumes, by their labels.",
                   .choices = {"slices", "tokens", "holistic"}}},
      .create = [](const Options& options, const Task::Context& context) {
        return std::make_shared<LinearProbe>(options, context);
      }});
}
