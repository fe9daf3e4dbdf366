// Classification of whole volumes on the holistic feature of f_intra + projection + f_inter (method.md §7).
//
// "FC 640 + FC 252 → 2" is read as two hidden layers, Linear(D, 640) – ReLU – Linear(640, 252) – ReLU – Linear(252, 2):
// `hidden = [640, 252]`. The other reading, where 640 is the width of the feature itself, is `hidden = [252]`.
//
// Context::classes holds every class, the negative one first: label i is classes[i]. (Of a task with masks it lacks the
// background.) The AUC of two classes takes the second as positive; of more, it is the mean over "one against the
// rest". A split without a class has no AUC: scores() says which class is missing, and throws. Its interval is of
// bootstraps over patients (networks_tasks.md §3).
//
// `sampler = "balanced"`: each epoch all volumes but those of class 0, and `negatives` of these for each of the others,
// drawn anew; validation and test are never re-sampled.

#include <ivory/metrics.h>
#include <ivory/nn/eval_mode.h>
#include <ivory/panels.h>
#include <ivory/plugin.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace {

using namespace ivory;

class Classification3d : public Task {
 public:
  Classification3d(const Options& options, const Context& context)
      : negatives_(options.get<std::string>("sampler") == "balanced" ? options.get<double>("negatives") : 0),
        draws_(options.get<int64_t>("bootstraps")),
        classes_(context.classes),
        volume_names_(context.volume_names),
        patients_(context.patients) {
    IVORY_CHECK(classes_.size() >= 2,
                "task classification-3d: at least two classes are needed, the negative one too, got ", classes_.size());
    IVORY_CHECK(context.model && context.model->width(SampleKind::volume) > 0,
                "task classification-3d: the model needs a volume backbone, it has none");
    model_ = register_module("model", context.model);
    torch::nn::Sequential head;
    int64_t width = context.model->width(SampleKind::volume);
    for (const int64_t hidden : options.get<std::vector<int64_t>>("hidden")) {
      head->push_back(torch::nn::Linear(width, hidden));
      head->push_back(torch::nn::ReLU());
      width = hidden;
    }
    head->push_back(torch::nn::Linear(width, static_cast<int64_t>(classes_.size())));
    head_ = register_module("head", head);
  }

  TaskNeeds needs() const override {
    return {.unit = SampleKind::volume,
            .target = Target::label,
            .negatives = negatives_,
            .ranks_from = 1,
            .ranks_every_class = true};
  }

  torch::Tensor loss(const TaskBatch& batch) override {
    return torch::nn::functional::cross_entropy(logits(batch.images.pixels), batch.labels);
  }

  void evaluate(const TaskBatch& batch) override {
    probabilities_.push_back(predict(batch.images.pixels));
    labels_.push_back(batch.labels.to(torch::kCPU));
    volumes_.push_back(batch.volume.to(torch::kCPU));
  }

  Scores scores() override;
  std::vector<Picture> pictures(const TaskBatch& batch, int64_t limit) override;

 private:
  // [B, 1, F, H, W] → [B, classes], in fp32 or fp64.
  torch::Tensor logits(const torch::Tensor& volumes) {
    const auto x = head_->forward(model_->embed(volumes).pooled);
    return x.scalar_type() == torch::kFloat64 ? x : x.to(torch::kFloat32);
  }

  // Softmax on the CPU, in evaluation mode whatever the mode is now.
  torch::Tensor predict(const torch::Tensor& volumes) {
    const torch::NoGradGuard no_grad;
    const nn::EvalMode evaluating(*this);
    return logits(volumes).to(torch::kCPU, torch::kFloat64).softmax(1);
  }

  std::string volume_name(int64_t id) const {
    return id < static_cast<int64_t>(volume_names_.size()) ? volume_names_[id] : "volume " + std::to_string(id);
  }

  void add_interval(Scores& result, const torch::Tensor& predicted, const torch::Tensor& truth,
                    const torch::Tensor& volumes) const;

  double negatives_;
  int64_t draws_;
  std::vector<std::string> classes_, volume_names_, patients_;
  std::shared_ptr<Model> model_;
  torch::nn::Sequential head_{nullptr};
  std::vector<torch::Tensor> probabilities_, labels_, volumes_;  // of the split, batch by batch
};

void Classification3d::add_interval(Scores& result, const torch::Tensor& predicted, const torch::Tensor& truth,
                                    const torch::Tensor& volumes) const {
  if (draws_ == 0) return;
  std::map<std::string, int64_t> numbers;
  auto scans = volumes.clone();
  for (int64_t i = 0; i < scans.numel(); ++i) {
    int64_t& id = scans.data_ptr<int64_t>()[i];
    if (id < static_cast<int64_t>(patients_.size()))
      id = numbers.try_emplace(patients_[id], static_cast<int64_t>(numbers.size())).first->second;
  }
  const auto interval = auc_interval(predicted, truth, scans, draws_);
  if (std::isnan(interval.low)) return;
  result.values.push_back({"auc from", interval.low});
  result.values.push_back({"auc to", interval.high});
}

Scores Classification3d::scores() {
  IVORY_CHECK(!labels_.empty(), "task classification-3d: the split has no volumes to score");
  const auto probabilities = torch::cat(probabilities_);  // [N, classes]
  const auto labels = torch::cat(labels_);                // [N]
  const auto volumes = torch::cat(volumes_);              // [N]
  probabilities_.clear();
  labels_.clear();
  volumes_.clear();

  Scores result;
  const auto classes = static_cast<int64_t>(classes_.size());
  std::string absent;
  for (int64_t c = 0; c < classes; ++c) {
    const auto count = (labels == c).sum().item<int64_t>();
    result.counts.emplace_back("volumes of " + classes_[c], count);
    if (count == 0) absent += (absent.empty() ? "'" : ", '") + classes_[c] + "'";
  }
  IVORY_CHECK(absent.empty(), "task classification-3d: the split has ", labels.size(0), " volumes but none of class ",
              absent, ", so its AUC is undefined; every split needs at least one volume of each class");

  const auto auc_of = [&](int64_t c) { return auc(probabilities.select(1, c), (labels == c).to(torch::kInt64)); };
  const auto accuracy = (probabilities.argmax(1) == labels).to(torch::kFloat64).mean().item<double>();
  if (classes == 2) {
    result.values = {{"auc", auc_of(1)}, {"accuracy", accuracy}};
    add_interval(result, probabilities.select(1, 1), labels, volumes);
  } else {
    result.values = {{"auc", 0}, {"accuracy", accuracy}};
    for (int64_t c = 0; c < classes; ++c) {
      const double value = auc_of(c);
      result.values.push_back({"auc/" + classes_[c], value});
      result.values.front().value += value / static_cast<double>(classes);
    }
  }
  const auto of_truth = probabilities.gather(1, labels.unsqueeze(1)).squeeze(1);  // [N]
  for (int64_t i = 0; i < labels.size(0); ++i) {
    result.cases.emplace_back(volume_name(volumes[i].item<int64_t>()), of_truth[i].item<double>());
  }
  return result;
}

// Five slices of each volume, evenly spaced, side by side.
std::vector<Picture> Classification3d::pictures(const TaskBatch& batch, int64_t limit) {
  const auto probabilities = predict(batch.images.pixels);
  std::vector<Picture> result;
  for (int64_t i = 0; i < std::min(limit, batch.size()); ++i) {
    const auto volume = batch.images.pixels[i][0];  // [F, H, W]
    const int64_t frames = volume.size(0), count = std::min<int64_t>(frames, 5);
    std::vector<torch::Tensor> slices;
    for (int64_t k = 0; k < count; ++k) slices.push_back(panels::grey(volume[(2 * k + 1) * frames / (2 * count)]));
    const auto predicted = probabilities[i].argmax().item<int64_t>();
    const auto percent = std::lround(100 * probabilities[i][predicted].item<double>());
    result.push_back({volume_name(batch.volume[i].item<int64_t>()) + ": truth " +
                          classes_.at(batch.labels[i].item<int64_t>()) + ", prediction " + classes_[predicted] + " (" +
                          std::to_string(percent) + " %)",
                      panels::row(slices, /*gap=*/0)});
  }
  return result;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(Descriptor<Task>{
      .name = "classification-3d",
      .summary = "Classes of whole volumes from the holistic feature, scored by the area under the ROC curve.",
      .source = "Nguyen et al., AAAI 2023",
      .options = {{.name = "hidden",
                   .fallback = std::vector<int64_t>{640, 252},
                   .help = "Widths of the hidden fully connected layers; an empty list is a linear classifier.",
                   .minimum = 1,
                   .maximum = 65536,
                   .unit = "channels",
                   .source = "method.md §7"},
                  {.name = "sampler",
                   .fallback = std::string("all"),
                   .help = "'all': every training volume once an epoch; 'balanced': all but those of the first class, "
                           "and a share of these.",
                   .choices = {"all", "balanced"},
                   .source = "networks_tasks.md §3",
                   .added_later = true},
                  {.name = "negatives",
                   .fallback = 1.0,
                   .help = "Of the balanced sampler: volumes of the first class for each of the others.",
                   .minimum = 0.01,
                   .maximum = 1000,
                   .source = "networks_tasks.md §3",
                   .added_later = true},
                  {.name = "bootstraps",
                   .fallback = int64_t{2000},
                   .help = "Draws of patients for the interval of the AUC of two classes; 0: none.",
                   .minimum = 0,
                   .source = "networks_tasks.md §3",
                   .added_later = true}},
      .create = [](const Options& options, const Task::Context& context) {
        return std::make_shared<Classification3d>(options, context);
      }});
}
