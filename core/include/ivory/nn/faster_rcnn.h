#pragma once
// Faster R-CNN with a feature pyramid (Ren et al., NIPS 2015; Lin et al., CVPR 2017) on any backbone of images, as
// torchvision or as MMDetection builds it: the parameter names and every rule are those of the one or of the other
// (networks_tasks.md §2).

#include <ivory/backbone.h>
#include <ivory/detection_metrics.h>
#include <ivory/nn/anchors.h>
#include <ivory/nn/boxes.h>
#include <ivory/nn/roi_align.h>
#include <ivory/task.h>

#include <functional>
#include <memory>
#include <vector>

namespace ivory::nn {

struct FasterRcnnOptions {
  enum class Variant { torchvision, mmdetection };

  int64_t classes = 1;  // without the background
  Variant variant = Variant::torchvision;
  int64_t width = 256;  // of the pyramid's levels
  int64_t head_width = 1024;
  double anchor_size = 32;  // at the finest level; twice that at each further one
  std::vector<double> ratios = {0.5, 1, 2};
  // Proposals.
  int64_t train_before = 2000, train_after = 2000;  // suppression: of each level, and of all levels together
  int64_t test_before = 1000, test_after = 1000;
  double proposal_overlap = 0.7;
  int64_t anchors_sampled = 256, boxes_sampled = 512;    // of an image
  double anchors_positive = 0.5, boxes_positive = 0.25;  // at most that share
  // Results.
  double least_score = 0.05, result_overlap = 0.5;
  int64_t most_results = 100;  // of an image
  // The backbone's batch normalisation does not train: its statistics never change and, in torchvision's variant, its
  // weights neither.
  bool frozen_norm = true;
  int64_t frozen_levels = 2;  // of the backbone, from the stem on, with all their parameters

  // What the variant changes of the numbers above.
  static FasterRcnnOptions of(Variant variant);
};

struct DetectionLosses {
  torch::Tensor objectness, proposal_box, classifier, box;
  torch::Tensor sum() const { return objectness + proposal_box + classifier + box; }
};

// From the four levels layer1 … layer4 of a backbone to a pyramid of one width at the same sizes.
class FeaturePyramid : public torch::nn::Module {
 public:
  FeaturePyramid(const std::vector<int64_t>& widths, int64_t width, FasterRcnnOptions::Variant variant);
  // The same number of levels, and one more: the coarsest sub-sampled by 2.
  std::vector<torch::Tensor> forward(const std::vector<torch::Tensor>& levels);

 private:
  std::vector<torch::nn::Conv2d> lateral_, smooth_;
};

class ProposalHead;
class BoxHead;

class FasterRcnn : public torch::nn::Module {
 public:
  // The modules are named as the variant's: backbone.body, backbone.fpn, rpn.head, roi_heads.box_head, … or backbone,
  // neck, rpn_head, roi_head.bbox_head.
  FasterRcnn(std::shared_ptr<Backbone> body, const FasterRcnnOptions& options);

  // images [N, C, H, W]; a box of the truth has an area and lies within its image, classes from 1.
  DetectionLosses losses(const torch::Tensor& images, const std::vector<Boxes>& truth);
  // Best first, classes from 1.
  std::vector<Detections> detect(const torch::Tensor& images);
  // Frozen parts stay in evaluation mode.
  void train(bool on = true) override;

  // The order in which candidates are sampled, a permutation of n; random unless a test sets it.
  std::function<torch::Tensor(int64_t n)> order = [](int64_t n) { return torch::randperm(n); };

 private:
  struct Scene;       // what a batch's images give: pyramid, anchors
  struct Candidates;  // objectness and regression of all anchors
  struct Sample;      // sampled candidates with their targets

  Scene look(const torch::Tensor& images);
  Candidates candidates(const Scene& scene);
  std::vector<torch::Tensor> proposals(const Scene& scene, const Candidates& of) const;
  torch::Tensor keep_best(const Scene& scene, const torch::Tensor& scores, const torch::Tensor& boxes) const;
  std::pair<torch::Tensor, torch::Tensor> sampled(const torch::Tensor& matched, int64_t most, double share) const;
  void proposal_losses(const Scene& scene, const Candidates& of, const std::vector<Boxes>& truth,
                       DetectionLosses& losses) const;
  void head_losses(const Scene& scene, const std::vector<torch::Tensor>& proposals, const std::vector<Boxes>& truth,
                   DetectionLosses& losses);
  std::pair<torch::Tensor, torch::Tensor> head(const Scene& scene, const std::vector<torch::Tensor>& boxes);
  torch::Tensor box_loss(const torch::Tensor& predicted, const torch::Tensor& wanted, double count) const;
  bool mmdetection() const { return options_.variant == FasterRcnnOptions::Variant::mmdetection; }
  int64_t first_class() const { return mmdetection() ? 0 : 1; }  // among the classifier's outputs

  FasterRcnnOptions options_;
  std::shared_ptr<Backbone> body_;
  std::shared_ptr<FeaturePyramid> pyramid_;
  std::shared_ptr<ProposalHead> proposal_head_;
  std::shared_ptr<BoxHead> box_head_;
  std::vector<double> strides_;
};

}  // namespace ivory::nn
