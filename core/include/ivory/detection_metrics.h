#pragma once
// Scores of detectors: average precision of boxes as COCO defines it, and free-response ROC of points in scans as the
// LUNA16 challenge defines it (networks_tasks.md §2, §3).

#include <ivory/metrics.h>
#include <ivory/task.h>

#include <array>
#include <span>
#include <string>
#include <vector>

namespace ivory {

// What a detector says of one image.
struct Detections {
  torch::Tensor corners;  // [n, 4] x_min, y_min, x_max, y_max in pixels
  torch::Tensor classes;  // [n] int64, from 1, as in Boxes
  torch::Tensor scores;   // [n]
};

enum class PrecisionKind {
  coco,  // precision read at the recalls 0, 0.01, …, 1
  area,  // under the curve: VOC since 2010
  voc11  // precision read at the recalls 0, 0.1, …, 1: VOC until 2009
};

struct PrecisionOptions {
  std::vector<double> thresholds = {0.5};  // of the intersection over union
  PrecisionKind kind = PrecisionKind::coco;
  int64_t best = 100;  // detections of an image and class that count
};

// COCO's ten thresholds 0.5, 0.55, …, 0.95.
std::vector<double> coco_thresholds();

// Precision is that of the detections of a class over all images from the best score down, made monotone from the
// right. A detection takes the one free box of its class with which its overlap is largest and at least the threshold
// (the later of equal ones).
class AveragePrecision {
 public:
  AveragePrecision(int64_t classes, PrecisionOptions options = {});

  // One image. Of tied scores the detections of an image added earlier come first, then those earlier in the image.
  // `crowd` [n] bool, or undefined: boxes that stand for many; what lies in them is neither right nor wrong.
  void add(const Detections& detections, const Boxes& truth, const torch::Tensor& crowd = {});

  // [class][threshold]; NaN for a class without a box in any image.
  std::vector<std::vector<double>> values() const;
  // Boxes of class c, from 1, that are no crowd.
  int64_t truths(int64_t c) const { return kept_[static_cast<size_t>(c - 1)].truths; }

 private:
  struct Detection {
    double score;
    std::vector<bool> right, ignored;  // by threshold
  };
  struct OfClass {
    std::vector<Detection> detections;
    int64_t truths = 0;
  };
  double value(const OfClass& of, size_t threshold) const;

  PrecisionOptions options_;
  std::vector<OfClass> kept_;
};

// Mean of the numbers that are no NaN; NaN without any.
double mean_defined(const std::vector<double>& values);

// A candidate or a nodule of a scan, in world mm.
struct Mark {
  std::array<double, 3> centre = {0, 0, 0};
  double score = 0;
};
struct Nodule {
  std::array<double, 3> centre = {0, 0, 0};
  double diameter = -1;   // mm; below 0: not known, 10 mm is taken
  bool excluded = false;  // a finding that is neither to be found nor wrong to mark
};

struct FrocResult {
  static constexpr std::array<double, 7> rates = {0.125, 0.25, 0.5, 1, 2, 4, 8};  // false positives per scan
  std::array<double, 7> sensitivity{};
  double score = 0;  // their mean
  std::array<Interval, 7> sensitivity_interval{};
  Interval score_interval;
  int64_t nodules = 0, found = 0, false_positives = 0, marks_dropped = 0;
};

// A mark hits a nodule whose centre is nearer than its radius. A nodule counts once, with the best score of the marks
// that hit it; marks that hit an excluded finding are dropped; all others are false positives. The curve is linear
// between the scores' thresholds, and flat beyond the last.
class Froc {
 public:
  explicit Froc(int64_t most_marks = 100) : most_marks_(most_marks) {}
  // One scan; of more than `most_marks` marks the best ones count (of tied ones the first).
  void add(const std::vector<Mark>& marks, const std::vector<Nodule>& nodules);
  // Intervals by `draws` bootstraps over scans; 0: none. Throws bad_request when there is no scan or no nodule.
  FrocResult result(int64_t draws = 1000, uint64_t seed = 1) const;

 private:
  struct Event {
    double score;
    int64_t scan;
    bool hit;  // else a false positive
  };
  std::array<double, 7> sensitivities(std::span<const int64_t> times) const;  // of each scan; NaN without nodules

  int64_t most_marks_;
  std::vector<Event> events_;
  std::vector<int64_t> nodules_;  // of each scan
  int64_t dropped_ = 0;
};

}  // namespace ivory
