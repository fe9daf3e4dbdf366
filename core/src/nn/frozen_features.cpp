#include <ivory/image_volume.h>
#include <ivory/metrics.h>
#include <ivory/nn/frozen_features.h>

namespace ivory::nn {

std::vector<Option> frozen_features_options() {
  return {{.name = "features",
           .fallback = std::string("slices"),
           .help = "'slices': of f_intra; 'tokens': of f_inter, each slice seen with its volume; 'holistic': of whole "
                   "volumes, by their labels.",
           .choices = {"slices", "tokens", "holistic"}},
          {.name = "min_pixels",
           .fallback = int64_t{1},
           .help = "Pixels of a class that make it present in a slice.",
           .minimum = 1,
           .unit = "pixels"}};
}

FrozenFeatures::FrozenFeatures(std::string task, const Options& options, const Task::Context& context)
    : task_(std::move(task)),
      min_pixels_(options.get<int64_t>("min_pixels")),
      classes_(context.classes),
      model_(context.model) {
  const std::string who = "task " + task_, features = options.get<std::string>("features");
  kind_ = features == "slices" ? Kind::slices : features == "tokens" ? Kind::tokens : Kind::holistic;
  samples_ = kind_ == Kind::holistic ? "volumes" : "slices";
  IVORY_CHECK(!classes_.empty(), who, ": at least one class is needed, none is declared");
  IVORY_CHECK(kind_ != Kind::holistic || classes_.size() > 1, who,
              ": whole volumes need at least two classes, the negative one too, got 1");
  IVORY_CHECK(model_, who, ": a model is needed, there is none");
  const auto* joint = dynamic_cast<const ImageVolumeModel*>(model_.get());
  if (of_slices()) {
    width_ = joint ? joint->feature_width() : model_->width(SampleKind::slice);
    IVORY_CHECK(width_ > 0, who, ": [model] takes no slices: set features = \"holistic\"");
  } else {
    IVORY_CHECK(kind_ == Kind::holistic || joint, who,
                ": features = \"tokens\" are those of the model 'image-volume', but [model] is another one");
    width_ = model_->width(SampleKind::volume);
    IVORY_CHECK(width_ > 0, who, ": features = \"", features, "\" are a volume backbone's, [model] names none");
  }
  for (auto& parameter : model_->parameters()) parameter.requires_grad_(false);
}

TaskNeeds FrozenFeatures::needs() const {
  return {.unit = of_slices() ? SampleKind::slice : SampleKind::volume,
          .target = kind_ == Kind::holistic ? Target::label : Target::masks,
          .ranks_from = kind_ == Kind::holistic ? 1 : min_pixels_};
}

torch::Tensor FrozenFeatures::features(const torch::Tensor& pixels) const {
  const torch::NoGradGuard no_grad;
  model_->eval();
  if (of_slices()) {
    auto* joint = dynamic_cast<ImageVolumeModel*>(model_.get());
    if (!joint) return model_->embed(pixels).pooled;
    return joint->slice_features(pixels.unsqueeze(2)).squeeze(1);  // of [B, 1, 1, H, W]
  }
  const Features of_volumes = model_->embed(pixels);
  return kind_ == Kind::holistic ? of_volumes.pooled : of_volumes.tokens;
}

torch::Tensor FrozenFeatures::present(const TaskBatch& batch) const {
  std::vector<torch::Tensor> columns;
  for (int64_t c = 0; c < class_count(); ++c) {
    columns.push_back(kind_ == Kind::holistic ? batch.labels == c
                                              : (batch.masks == c + 1).sum({-2, -1}) >= min_pixels_);
  }
  return torch::stack(columns, -1);
}

void FrozenFeatures::collect(const torch::Tensor& predicted, const TaskBatch& batch) {
  predicted_.push_back(predicted.detach().flatten(0, -2).to(torch::kCPU, torch::kFloat64));
  truth_.push_back(present(batch).flatten(0, -2).to(torch::kCPU, torch::kInt64));
}

Scores FrozenFeatures::scores() {
  IVORY_CHECK(!predicted_.empty(), "task ", task_, ": the split has no ", samples_, " to score");
  const auto predicted = torch::cat(predicted_), truth = torch::cat(truth_);  // [N, C]
  predicted_.clear();
  truth_.clear();
  Scores result = auc_scores(predicted, truth, classes_, task_, samples_);
  if (kind_ == Kind::holistic) {
    const auto right = (predicted.argmax(1) == truth.argmax(1)).to(torch::kFloat64);
    result.values.insert(result.values.begin() + 1, {"accuracy", right.mean().item<double>()});
  }
  return result;
}

}  // namespace ivory::nn
