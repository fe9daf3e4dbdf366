#pragma once
// A downstream task: a model around a pre-trained backbone, its loss, its prediction, its scores and pictures.

#include <ivory/batch.h>
#include <ivory/model.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ivory {

// What a sample comes with: a class index per pixel, one class per sample, or boxes.
enum class Target { masks, label, boxes };

struct TaskNeeds {
  SampleKind unit = SampleKind::slice;
  Target target = Target::masks;
  bool balanced = false;  // slices with and without target drawn 1:1 (method.md §7)
  // Labels only: an epoch has every sample of class 1, 2, … once, and this many of class 0 for each of them, drawn anew
  // without replacement; 0: every sample once.
  double negatives = 0;
  bool overlapping = false;  // masks only: a pixel may be of several classes (TaskBatch::masks)
  // Volumes only: training samples are such cubes, evaluation gives whole volumes at the cubes' spacing, one a batch.
  std::optional<VolumeViewSpec> cubes = {};
  // Boxes only: an epoch has an image with a class of which fewer than this share of images have a box several times,
  // ⌈√(share asked for / its share)⌉; 0: every image once.
  double repeat_below = 0;
  // Scores rank samples by whether they have a class (AUC): of masks, at least so many pixels of it; of labels, any
  // number above 0. Splits that define no such score are refused before training. 0: scores do not rank.
  int64_t ranks_from = 0;
  bool ranks_every_class = false;  // without one of the classes there is no score
};

struct Boxes {
  torch::Tensor corners;  // [n, 4] or [n, 6] float: lower, then upper corner in pixels (x, y or x, y, z)
  torch::Tensor classes;  // [n] int64, class index from 1
};

struct TaskBatch {
  View images;  // [B, 1, H, W] or [B, 1, D, H, W]; normalised as Batch's
  // [B, H, W] or [B, D, H, W] int64: class index, 0 = background; of overlapping classes the sum of 2^(index − 1).
  // Undefined without.
  torch::Tensor masks;
  torch::Tensor labels;      // [B] int64, class index; undefined without
  std::vector<Boxes> boxes;  // one per sample; empty without
  torch::Tensor volume;      // [B] int64: id of the volume in the data set
  torch::Tensor position;    // [B] int64: slice number within the volume
  int64_t size() const { return images.pixels.defined() ? images.pixels.size(0) : 0; }
};

struct Score {
  std::string name;  // e.g. "iou", "iou/thalamus", "auc"
  double value = 0;  // in [0, 1], but for distances in mm and errors of volumes
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
    std::shared_ptr<Model> model;             // pre-trained or fresh; the task registers what it uses of it
    std::vector<std::string> classes;         // without the background
    std::vector<std::string> volume_names;    // by volume id
    std::array<int64_t, 3> size = {1, 0, 0};  // voxels of a sample: D (1 of slices), H, W
    // By volume id; empty where nobody asks.
    std::vector<std::string> patients = {};
    std::vector<std::array<double, 3>> spacings = {};  // mm between slices, rows, columns of a slice at `size`
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
