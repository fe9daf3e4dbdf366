// Which classes are in a slice or an image, by the model's backbone of slices and fully connected layers, all trained:
// findings of radiographs (NIH ChestX-ray8), organs in slices.
//
//   activation = "sigmoid":  L = mean over samples and classes of BCE(logit_c, present_c)    any number of classes
//   activation = "softmax":  L = CE over "none of them" and the classes                      at most one
//
// A class is present when at least `min_pixels` pixels of the mask at the loader's size have it; of several the softmax
// takes the last one. The score is the mean over the classes of the area under the ROC curve; a class that all samples
// have, or none, has no AUC and is left out. Intervals are of bootstraps over patients.

#include <ivory/metrics.h>
#include <ivory/nn/eval_mode.h>
#include <ivory/panels.h>
#include <ivory/plugin.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace {

using namespace ivory;

class Classification : public Task {
 public:
  Classification(const Options& options, const Context& context)
      : several_(options.get<std::string>("activation") == "sigmoid"),
        balanced_(options.get<bool>("balanced")),
        min_pixels_(options.get<int64_t>("min_pixels")),
        draws_(options.get<int64_t>("bootstraps")),
        classes_(context.classes),
        volume_names_(context.volume_names),
        patients_(context.patients) {
    IVORY_CHECK(!classes_.empty(), "task classification: at least one class is needed, none is declared");
    IVORY_CHECK(
        context.model && context.model->width(SampleKind::slice) > 0,
        "task classification: the model needs a backbone of slices, it has none; classification-3d takes volumes");
    model_ = register_module("model", context.model);
    torch::nn::Sequential head;
    int64_t width = context.model->width(SampleKind::slice);
    for (const int64_t hidden : options.get<std::vector<int64_t>>("hidden")) {
      head->push_back(torch::nn::Linear(width, hidden));
      head->push_back(torch::nn::ReLU());
      width = hidden;
    }
    head->push_back(torch::nn::Linear(width, class_count() + (several_ ? 0 : 1)));
    head_ = register_module("head", head);
  }

  TaskNeeds needs() const override {
    return {.unit = SampleKind::slice, .target = Target::masks, .balanced = balanced_, .overlapping = several_};
  }

  torch::Tensor loss(const TaskBatch& batch) override {
    const auto x = logits(batch.images.pixels);
    const auto truth = present(batch.masks);  // [B, C]
    if (several_) return torch::binary_cross_entropy_with_logits(x, truth.to(x.scalar_type()));
    const auto number = torch::arange(1, class_count() + 1, truth.options().dtype(torch::kInt64));
    return torch::nn::functional::cross_entropy(x, std::get<0>((truth * number).max(1)));
  }

  void evaluate(const TaskBatch& batch) override {
    predicted_.push_back(predict(batch.images.pixels));
    truth_.push_back(present(batch.masks).to(torch::kCPU, torch::kInt64));
    volumes_.push_back(batch.volume.to(torch::kCPU));
  }

  Scores scores() override;
  std::vector<Picture> pictures(const TaskBatch& batch, int64_t limit) override;

 private:
  int64_t class_count() const { return static_cast<int64_t>(classes_.size()); }

  torch::Tensor logits(const torch::Tensor& images) {
    const auto x = head_->forward(model_->embed(images).pooled);
    return x.scalar_type() == torch::kFloat64 ? x : x.to(torch::kFloat32);
  }

  // [B, H, W] → [B, C]
  torch::Tensor present(const torch::Tensor& masks) const {
    std::vector<torch::Tensor> columns;
    for (int64_t c = 1; c <= class_count(); ++c) {
      const auto here = several_ ? masks.bitwise_and(int64_t{1} << (c - 1)) != 0 : masks == c;
      columns.push_back(here.sum({1, 2}) >= min_pixels_);
    }
    return torch::stack(columns, 1);
  }

  // Probabilities [B, C] on the CPU, in evaluation mode whatever the mode is now.
  torch::Tensor predict(const torch::Tensor& images) {
    const torch::NoGradGuard no_grad;
    const nn::EvalMode evaluating(*this);
    const auto x = logits(images).to(torch::kCPU, torch::kFloat64);
    return several_ ? x.sigmoid() : x.softmax(1).slice(1, 1);
  }

  std::string volume_name(int64_t id) const {
    return id < static_cast<int64_t>(volume_names_.size()) ? volume_names_[id] : "volume " + std::to_string(id);
  }
  // A number for each volume's patient.
  torch::Tensor patient_numbers(const torch::Tensor& volumes) const;

  bool several_, balanced_;
  int64_t min_pixels_, draws_;
  std::vector<std::string> classes_, volume_names_, patients_;
  std::shared_ptr<Model> model_;
  torch::nn::Sequential head_{nullptr};
  std::vector<torch::Tensor> predicted_, truth_, volumes_;  // of the split, batch by batch
};

torch::Tensor Classification::patient_numbers(const torch::Tensor& volumes) const {
  std::map<std::string, int64_t> numbers;
  auto result = volumes.clone();
  auto* values = result.data_ptr<int64_t>();
  for (int64_t i = 0; i < result.numel(); ++i) {
    if (values[i] >= static_cast<int64_t>(patients_.size())) continue;
    values[i] = numbers.try_emplace(patients_[values[i]], static_cast<int64_t>(numbers.size())).first->second;
  }
  return result;
}

Scores Classification::scores() {
  IVORY_CHECK(!truth_.empty(), "task classification: the split has no slices to score");
  const auto predicted = torch::cat(predicted_), truth = torch::cat(truth_);  // [N, C]
  const auto volumes = torch::cat(volumes_);
  predicted_.clear();
  truth_.clear();
  volumes_.clear();
  Scores result = auc_scores(predicted, truth, classes_, "classification", "slices");
  const auto patients = patient_numbers(volumes);
  for (int64_t c = 0; c < class_count() && draws_ > 0; ++c) {
    const auto count = truth.select(1, c).sum().item<int64_t>();
    if (count == 0 || count == truth.size(0)) continue;
    const auto interval = auc_interval(predicted.select(1, c), truth.select(1, c), patients, draws_);
    if (std::isnan(interval.low)) continue;
    result.values.push_back({"auc from/" + classes_[c], interval.low});
    result.values.push_back({"auc to/" + classes_[c], interval.high});
  }
  const auto right = ((predicted > 0.5).to(torch::kInt64) == truth).to(torch::kFloat64).mean(1);  // [N]
  for (int64_t i = 0; i < right.numel(); ++i)
    result.cases.emplace_back(volume_name(volumes[i].item<int64_t>()), right[i].item<double>());
  return result;
}

std::vector<Picture> Classification::pictures(const TaskBatch& batch, int64_t limit) {
  const auto predicted = predict(batch.images.pixels), truth = present(batch.masks).to(torch::kCPU);
  std::vector<Picture> result;
  for (int64_t i = 0; i < std::min(limit, batch.size()); ++i) {
    std::string text = volume_name(batch.volume[i].item<int64_t>()) + ", slice " +
                       std::to_string(batch.position[i].item<int64_t>()) + ":";
    for (int64_t c = 0; c < class_count(); ++c) {
      const bool there = truth[i][c].item<bool>();
      const double probability = predicted[i][c].item<double>();
      if (!there && probability < 0.5) continue;
      text += " " + classes_[c] + (there ? " (there, " : " (not there, ") +
              std::to_string(std::lround(100 * probability)) + " %)";
    }
    result.push_back({text, panels::row({panels::grey(batch.images.pixels[i][0])}, /*gap=*/0)});
  }
  return result;
}

std::vector<Option> options() {
  return {{.name = "activation",
           .fallback = std::string("sigmoid"),
           .help = "'sigmoid': any number of classes at a time, which may share labels; 'softmax': at most one.",
           .choices = {"softmax", "sigmoid"}},
          {.name = "hidden",
           .fallback = std::vector<int64_t>{},
           .help = "Widths of hidden fully connected layers; an empty list is a linear classifier.",
           .minimum = 1,
           .maximum = 65536,
           .unit = "channels"},
          {.name = "balanced", .fallback = false, .help = "Draw training slices with and without a class 1:1."},
          {.name = "min_pixels",
           .fallback = int64_t{1},
           .help = "Pixels of a class that make it present in a slice.",
           .minimum = 1,
           .unit = "pixels"},
          {.name = "bootstraps",
           .fallback = int64_t{2000},
           .help = "Draws of patients for the interval of each AUC; 0: none.",
           .minimum = 0,
           .source = "networks_tasks.md §3"}};
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(
      Descriptor<Task>{.name = "classification",
                       .summary = "Which classes are in a slice or an image, by the area under the ROC curve.",
                       .source = "Wang et al., ChestX-ray8, CVPR 2017",
                       .options = options(),
                       .create = [](const Options& options, const Task::Context& context) -> std::shared_ptr<Task> {
                         return std::make_shared<Classification>(options, context);
                       }});
}
