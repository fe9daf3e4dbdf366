// Which classes are in a slice, by a linear layer on frozen slice features: how well pre-trained features separate
// them.
//
//   L = mean over slices and classes of BCE(W f + b, present),  f = multi-level slice features (method.md §1), frozen
//
// A slice's labels come from its mask: class c is present when at least `min_pixels` pixels at the loader's size have
// it. The score is the mean over the classes of the area under the ROC curve over the split's slices. A class that all
// of them have, or none, has no AUC and is left out; counts say how often.

#include <ivory/metrics.h>
#include <ivory/plugin.h>

namespace {

using namespace ivory;

class LinearProbe : public Task {
 public:
  LinearProbe(const Options& options, const Context& context)
      : min_pixels_(options.get<int64_t>("min_pixels")), classes_(context.classes) {
    IVORY_CHECK(!classes_.empty(), "task linear-probe: at least one class is needed, none is declared");
    IVORY_CHECK(context.model && context.model->intra, "task linear-probe: a slice backbone is needed, there is none");
    model_ = register_module("model", context.model);
    for (auto& parameter : model_->parameters()) parameter.requires_grad_(false);
    head_ = register_module("head", torch::nn::Linear(model_->feature_width(), static_cast<int64_t>(classes_.size())));
  }

  TaskNeeds needs() const override { return {.unit = TaskUnit::slice, .masks = true, .balanced = true}; }

  torch::Tensor loss(const TaskBatch& batch) override {
    return torch::binary_cross_entropy_with_logits(logits(batch.images), present(batch.masks));
  }

  void evaluate(const TaskBatch& batch) override {
    const torch::NoGradGuard no_grad;
    logits_.push_back(logits(batch.images).to(torch::kCPU, torch::kFloat64));
    present_.push_back(present(batch.masks).to(torch::kCPU, torch::kInt64));
  }

  Scores scores() override;
  std::vector<Picture> pictures(const TaskBatch&, int64_t) override { return {}; }

 private:
  // [B, 1, H, W] → [B, C]. The backbone is in evaluation mode whatever the mode is now: its statistics are frozen too.
  torch::Tensor logits(const torch::Tensor& images) {
    model_->eval();
    torch::Tensor features;
    {
      const torch::NoGradGuard no_grad;
      features = model_->slice_features(images.unsqueeze(1)).squeeze(1);  // [B, sum of widths]
    }
    const auto x = head_->forward(features);
    return x.scalar_type() == torch::kFloat64 ? x : x.to(torch::kFloat32);
  }

  // [B, H, W] → [B, C], 0 or 1.
  torch::Tensor present(const torch::Tensor& masks) const {
    std::vector<torch::Tensor> columns;
    for (int64_t c = 1; c <= static_cast<int64_t>(classes_.size()); ++c) {
      columns.push_back((masks == c).sum({1, 2}) >= min_pixels_);
    }
    return torch::stack(columns, 1).to(head_->weight.scalar_type());
  }

  int64_t min_pixels_;
  std::vector<std::string> classes_;
  std::shared_ptr<Model> model_;
  torch::nn::Linear head_{nullptr};
  std::vector<torch::Tensor> logits_, present_;  // of the split, batch by batch
};

Scores LinearProbe::scores() {
  IVORY_CHECK(!logits_.empty(), "task linear-probe: the split has no slices to score");
  const auto predicted = torch::cat(logits_), truth = torch::cat(present_);  // [N, C]
  logits_.clear();
  present_.clear();
  Scores result;
  result.values = {{"auc", 0}};
  for (int64_t c = 0; c < truth.size(1); ++c) {
    const auto positives = truth.select(1, c).sum().item<int64_t>();
    result.counts.emplace_back("slices with " + classes_[c], positives);
    if (positives == 0 || positives == truth.size(0)) continue;
    result.values.push_back({"auc/" + classes_[c], auc(predicted.select(1, c), truth.select(1, c))});
    result.values.front().value += result.values.back().value;
  }
  const auto scored = result.values.size() - 1;
  IVORY_CHECK(scored > 0, "task linear-probe: all ", truth.size(0),
              " slices of the split agree on every class, so no AUC is defined; a split needs slices with and without");
  result.values.front().value /= static_cast<double>(scored);
  return result;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(Descriptor<Task>{
      .name = "linear-probe",
      .summary = "Linear classifier on frozen slice features: which classes are in a slice, by the area under the ROC.",
      .source = "Alain & Bengio, Understanding intermediate layers using linear classifier probes, 2016",
      .options = {{.name = "min_pixels",
                   .fallback = int64_t{1},
                   .help = "Pixels of a class that make it present in a slice.",
                   .minimum = 1,
                   .unit = "pixels"}},
      .create = [](const Options& options, const Task::Context& context) {
        return std::make_shared<LinearProbe>(options, context);
      }});
}
