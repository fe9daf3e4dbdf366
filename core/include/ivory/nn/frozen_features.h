#pragma once
// Features of a frozen model and the classes of what they belong to: what knn and linear-probe share.

#include <ivory/options.h>
#include <ivory/task.h>

#include <memory>
#include <string>
#include <vector>

namespace ivory::nn {

// "features" and "min_pixels".
std::vector<Option> frozen_features_options();

class FrozenFeatures {
 public:
  // Switches the gradients of the model's parameters off. Throws bad_request, naming the task, when the model has no
  // such features.
  FrozenFeatures(std::string task, const Options& options, const Task::Context& context);

  const std::shared_ptr<Model>& model() const { return model_; }
  TaskNeeds needs() const;
  bool of_slices() const { return kind_ == Kind::slices; }
  int64_t width() const { return width_; }  // D
  int64_t class_count() const { return static_cast<int64_t>(classes_.size()); }

  // Slices [B, 1, H, W] → [B, D]; volumes [B, 1, F, H, W] → [B, F, D] of their tokens, or [B, D] of whole ones. The
  // model is in evaluation mode from then on: its statistics are frozen too.
  torch::Tensor features(const torch::Tensor& pixels) const;
  // Which classes each sample has, bool, in the shape of features() with C in place of D: of slices, those with at
  // least min_pixels pixels in the mask; of a whole volume, its label.
  torch::Tensor present(const TaskBatch& batch) const;

  // Keeps a batch's predictions, in the shape of present(), beside its truth, until scores() computes and forgets: the
  // area under the ROC curve per class, of whole volumes also the accuracy.
  void collect(const torch::Tensor& predicted, const TaskBatch& batch);
  Scores scores();

 private:
  enum class Kind { slices, tokens, holistic };

  std::string task_, samples_;
  Kind kind_;
  int64_t min_pixels_;
  int64_t width_ = 0;
  std::vector<std::string> classes_;
  std::shared_ptr<Model> model_;
  std::vector<torch::Tensor> predicted_, truth_;  // of the split that is evaluated, batch by batch: [n, C]
};

}  // namespace ivory::nn
