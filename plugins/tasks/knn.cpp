// Which classes are in a slice, or of which class a volume is, by the nearest neighbours in the training split: how
// well pre-trained features separate them with nothing trained on top.
//
//   w_i = exp(⟨f, f_i⟩ / T),   score of class c = Σ w_i y_ic / Σ w_i   over the k training samples most similar to f,
//
// f L2-normalised, from the frozen model: `features = "slices"`, the multi-level features of f_intra (method.md §1),
// slice by slice; "tokens", the slice's token behind f_inter (§3); "holistic", the feature of a whole volume (Eq. 10).
// y_ic says whether sample i has class c: a slice, when its mask has at least `min_pixels` pixels of it at the loader's
// size, as linear-probe has it; a volume, when it is its label. Scores are linear-probe's too; whole volumes, which
// have one class each, also have an accuracy.

#include <ivory/metrics.h>
#include <ivory/plugin.h>

#include <algorithm>

namespace {

using namespace ivory;

class NearestNeighbours : public Task {
 public:
  NearestNeighbours(const Options& options, const Context& context)
      : features_(options.get<std::string>("features")),
        holistic_(features_ == "holistic"),
        k_(options.get<int64_t>("k")),
        temperature_(options.get<double>("temperature")),
        min_pixels_(options.get<int64_t>("min_pixels")),
        classes_(context.classes) {
    IVORY_CHECK(!classes_.empty(), "task knn: at least one class is needed, none is declared");
    IVORY_CHECK(!holistic_ || classes_.size() > 1,
                "task knn: whole volumes need at least two classes, the negative one too, got 1");
    IVORY_CHECK(context.model && context.model->intra, "task knn: a slice backbone is needed, there is none");
    IVORY_CHECK(features_ == "slices" || context.model->has_inter(), "task knn: features = \"", features_,
                "\" are a volume backbone's, [model] names none");
    model_ = register_module("model", context.model);
    for (auto& parameter : model_->parameters()) parameter.requires_grad_(false);
  }

  TaskNeeds needs() const override {
    return {.unit = features_ == "slices" ? TaskUnit::slice : TaskUnit::volume, .masks = !holistic_, .balanced = false};
  }

  // Keeps the batch's samples as neighbours.
  torch::Tensor loss(const TaskBatch& batch) override {
    const torch::NoGradGuard no_grad;
    new_features_.push_back(features(batch.images));
    new_classes_.push_back(classes_of(batch));
    return torch::zeros({});
  }

  void evaluate(const TaskBatch& batch) override;
  Scores scores() override;
  std::vector<Picture> pictures(const TaskBatch&, int64_t) override { return {}; }

 private:
  torch::Tensor features(const torch::Tensor& images);
  torch::Tensor classes_of(const TaskBatch& batch) const;
  torch::Tensor votes(const torch::Tensor& queries) const;
  void join_neighbours();

  std::string features_;
  bool holistic_;
  int64_t k_;
  double temperature_;
  int64_t min_pixels_;
  std::vector<std::string> classes_;
  std::shared_ptr<Model> model_;
  std::vector<torch::Tensor> new_features_, new_classes_;  // not yet in the bank, batch by batch
  torch::Tensor bank_, bank_classes_;                      // [N, D], [N, C]: the training split
  std::vector<torch::Tensor> votes_, truth_;               // of the split that is evaluated, batch by batch
};

// → [samples, D], each of length 1. Samples: slices [B], slices of volumes [B·F], or volumes [B].
torch::Tensor NearestNeighbours::features(const torch::Tensor& images) {
  model_->eval();
  torch::Tensor raw;
  if (features_ == "slices") {
    raw = model_->slice_features(images.unsqueeze(1)).squeeze(1);  // of [B, 1, 1, H, W]
  } else {
    const Features of_volumes = model_->embed(images);  // of [B, F, 1, H, W]
    raw = holistic_ ? of_volumes.pooled : of_volumes.tokens.flatten(0, 1);
  }
  return torch::nn::functional::normalize(raw.scalar_type() == torch::kFloat64 ? raw : raw.to(torch::kFloat32));
}

// → [samples, C], 0 or 1.
torch::Tensor NearestNeighbours::classes_of(const TaskBatch& batch) const {
  std::vector<torch::Tensor> columns;
  for (int64_t c = 0; c < static_cast<int64_t>(classes_.size()); ++c) {
    columns.push_back(holistic_ ? batch.labels == c : ((batch.masks == c + 1).sum({-2, -1}) >= min_pixels_).flatten());
  }
  return torch::stack(columns, 1);
}

void NearestNeighbours::join_neighbours() {
  if (bank_.defined()) {
    new_features_.insert(new_features_.begin(), bank_);
    new_classes_.insert(new_classes_.begin(), bank_classes_);
  }
  IVORY_CHECK(!new_features_.empty(), "task knn: there are no neighbours: loss() sees the training split first");
  bank_ = torch::cat(new_features_);
  bank_classes_ = torch::cat(new_classes_);
  new_features_.clear();
  new_classes_.clear();
}

// [B, D] → [B, C]
torch::Tensor NearestNeighbours::votes(const torch::Tensor& queries) const {
  const auto [similarity, neighbour] = queries.mm(bank_.t()).topk(std::min(k_, bank_.size(0)), 1);  // [B, k]
  const auto weights = (similarity / temperature_).softmax(1);                                      // w_i / Σ w_i
  const auto chosen = bank_classes_.index_select(0, neighbour.flatten()).unflatten(0, neighbour.sizes());  // [B, k, C]
  return (weights.unsqueeze(2) * chosen).sum(1);
}

void NearestNeighbours::evaluate(const TaskBatch& batch) {
  const torch::NoGradGuard no_grad;
  if (!new_features_.empty() || !bank_.defined()) join_neighbours();
  votes_.push_back(votes(features(batch.images)).to(torch::kCPU, torch::kFloat64));
  truth_.push_back(classes_of(batch).to(torch::kCPU, torch::kInt64));
}

Scores NearestNeighbours::scores() {
  const std::string samples = holistic_ ? "volumes" : "slices";
  IVORY_CHECK(!votes_.empty(), "task knn: the split has no ", samples, " to score");
  const auto predicted = torch::cat(votes_), truth = torch::cat(truth_);  // [N, C]
  votes_.clear();
  truth_.clear();
  Scores result = auc_scores(predicted, truth, classes_, "knn", samples);
  if (holistic_) {
    const auto right = (predicted.argmax(1) == truth.argmax(1)).to(torch::kFloat64);
    result.values.insert(result.values.begin() + 1, {"accuracy", right.mean().item<double>()});
  }
  result.counts.emplace_back("neighbours", bank_.size(0));
  return result;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(Descriptor<Task>{
      .name = "knn",
      .summary = "Weighted nearest neighbours on frozen features of slices or volumes, by the area under the ROC.",
      .source = "Wu et al., Unsupervised feature learning via non-parametric instance discrimination, CVPR 2018",
      .options = {{.name = "features",
                   .fallback = std::string("slices"),
                   .help =
                       "'slices': of f_intra; 'tokens': of f_inter, each slice seen with its volume; 'holistic': of "
                       "whole volumes, by their labels.",
                   .choices = {"slices", "tokens", "holistic"}},
                  {.name = "k",
                   .fallback = int64_t{20},
                   .help = "Neighbours that vote; every training sample where there are fewer.",
                   .minimum = 1,
                   .source = "Caron et al., Emerging properties (DINO), ICCV 2021"},
                  {.name = "temperature",
                   .fallback = 0.07,
                   .help = "T of the votes exp(similarity / T).",
                   .minimum = 1e-4,
                   .source = "Wu et al., CVPR 2018"},
                  {.name = "min_pixels",
                   .fallback = int64_t{1},
                   .help = "Pixels of a class that make it present in a slice.",
                   .minimum = 1,
                   .unit = "pixels"}},
      .create = [](const Options& options, const Task::Context& context) {
        return std::make_shared<NearestNeighbours>(options, context);
      }});
}
