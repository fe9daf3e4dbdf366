#pragma once
// A downstream task: a model around a pre-trained backbone, its loss, its prediction, its scores and pictures.

#include <ivory/model.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ivory {

enum class TaskUnit { slice, volume };

struct TaskNeeds {
  TaskUnit unit = TaskUnit::slice;
  bool masks = true;      // else one class label per sample
  bool balanced = false;  // slices with and without target drawn 1:1 (method.md §7)
};

struct TaskBatch {
  torch::Tensor images;    // [B, 1, H, W], or [B, F, 1, H, W]; normalised as Batch's
  torch::Tensor masks;     // [B, H, W], of volumes [B, F, H, W], int64: class index, 0 = background; undefined without
  torch::Tensor labels;    // [B] int64, class index; undefined with masks
  torch::Tensor volume;    // [B] int64: id of the volume in the data set
  torch::Tensor position;  // [B] int64: slice number within the volume
  int64_t size() const { return images.defined() ? images.size(0) : 0; }
};

struct Score {
  std::string name;  // e.g. "iou", "iou/thalamus", "auc"
  double value = 0;  // in [0, 1]
};

struct Scores {
  std::vector<Score> values;  // the first is the primary one: model selection and tables use it
  std::vector<std::pair<std::string, int64_t>> counts;  // e.g. {"empty ground truth", 3}
  std::vector<std::pair<std::string, double>> cases;    // primary score per volume, for the report
};

struct Picture {
  std::string title;
  torch::Tensor image;  // [3, H, W] uint8
};

class Task : public torch::nn::Module {
 public:
  struct Context {
    std::shared_ptr<Model> model;           // pre-trained or fresh; the task registers what it uses of it
    std::vector<std::string> classes;       // without the background
    std::vector<std::string> volume_names;  // by volume id
    int64_t size = 0;                       // pixels in the plane
  };

  virtual TaskNeeds needs() const = 0;
  // A scalar. A task with no parameter to train (kNN) sees each sample of its training split here once, before
  // evaluation: as evaluate() would, neither shuffled nor augmented; it keeps what it needs, the value is not used.
  virtual torch::Tensor loss(const TaskBatch& batch) = 0;
  // Evaluation of a split, in any order of its batches: evaluate() collects, scores() computes and forgets.
  virtual void evaluate(const TaskBatch& batch) = 0;
  virtual Scores scores() = 0;
  // A few pictures of this batch (image, prediction and truth); at most `limit`.
  virtual std::vector<Picture> pictures(const TaskBatch& batch, int64_t limit) = 0;
};

}  // namespace ivory
