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

#include <ivory/nn/frozen_features.h>
#include <ivory/plugin.h>

#include <algorithm>

namespace {

using namespace ivory;

class NearestNeighbours : public Task {
 public:
  NearestNeighbours(const Options& options, const Context& context)
      : frozen_("knn", options, context),
        k_(options.get<int64_t>("k")),
        temperature_(options.get<double>("temperature")) {
    register_module("model", frozen_.model());
  }

  TaskNeeds needs() const override { return frozen_.needs(); }

  // Keeps the batch's samples as neighbours.
  torch::Tensor loss(const TaskBatch& batch) override {
    new_features_.push_back(unit_features(batch));
    new_classes_.push_back(frozen_.present(batch).flatten(0, -2));
    return torch::zeros({});
  }

  void evaluate(const TaskBatch& batch) override {
    const torch::NoGradGuard no_grad;
    if (!new_features_.empty() || !bank_.defined()) join_neighbours();
    frozen_.collect(votes(unit_features(batch)), batch);
  }

  Scores scores() override {
    Scores result = frozen_.scores();
    result.counts.emplace_back("neighbours", bank_.size(0));
    return result;
  }

  std::vector<Picture> pictures(const TaskBatch&, int64_t) override { return {}; }

 private:
  // → unit rows [samples, D]: slices, slices of volumes, or volumes.
  torch::Tensor unit_features(const TaskBatch& batch) const {
    const auto raw = frozen_.features(batch.images.pixels).flatten(0, -2);
    return torch::nn::functional::normalize(raw.scalar_type() == torch::kFloat64 ? raw : raw.to(torch::kFloat32));
  }

  void join_neighbours();
  torch::Tensor votes(const torch::Tensor& queries) const;

  nn::FrozenFeatures frozen_;
  int64_t k_;
  double temperature_;
  std::vector<torch::Tensor> new_features_, new_classes_;  // not yet in the bank, batch by batch
  torch::Tensor bank_, bank_classes_;                      // [N, D], [N, C]: the training split
};

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

std::vector<Option> options() {
  auto declared = nn::frozen_features_options();
  declared.push_back({.name = "k",
                      .fallback = int64_t{20},
                      .help = "Neighbours that vote; every training sample where there are fewer.",
                      .minimum = 1,
                      .source = "Caron et al., Emerging properties (DINO), ICCV 2021"});
  declared.push_back({.name = "temperature",
                      .fallback = 0.07,
                      .help = "T of the votes exp(similarity / T).",
                      .minimum = 1e-4,
                      .source = "Wu et al., CVPR 2018"});
  return declared;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(Descriptor<Task>{
      .name = "knn",
      .summary = "Weighted nearest neighbours on frozen features of slices or volumes, by the area under the ROC.",
      .source = "Wu et al., Unsupervised feature learning via non-parametric instance discrimination, CVPR 2018",
      .options = options(),
      .create = [](const Options& options, const Task::Context& context) {
        return std::make_shared<NearestNeighbours>(options, context);
      }});
}
