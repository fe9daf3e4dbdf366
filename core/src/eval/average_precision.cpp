#include <ivory/detection_metrics.h>
#include <ivory/error.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace ivory {
namespace {

using Corners = std::array<double, 4>;

double area(const Corners& box) {
  return (box[2] - box[0]) * (box[3] - box[1]);
}

// Intersection over union; over the first box alone where the second one is a crowd.
double overlap(const Corners& box, const Corners& truth, bool crowd) {
  const double width = std::min(box[2], truth[2]) - std::max(box[0], truth[0]);
  const double height = std::min(box[3], truth[3]) - std::max(box[1], truth[1]);
  if (width <= 0 || height <= 0) return 0;
  const double both = width * height;
  return both / (crowd ? area(box) : area(box) + area(truth) - both);
}

struct Truth {
  Corners box;
  bool crowd;
};

// The corners of a class, by their places in `classes`.
std::vector<int64_t> places_of(const torch::Tensor& classes, int64_t c) {
  std::vector<int64_t> places;
  const auto* values = classes.data_ptr<int64_t>();
  for (int64_t i = 0; i < classes.numel(); ++i)
    if (values[i] == c) places.push_back(i);
  return places;
}

Corners corners_at(const torch::Tensor& corners, int64_t i) {
  Corners box{};
  std::copy_n(corners.data_ptr<double>() + 4 * i, 4, box.begin());
  return box;
}

torch::Tensor checked_corners(const torch::Tensor& corners, const char* what) {
  if (!corners.defined() || corners.numel() == 0) return torch::zeros({0, 4}, torch::kFloat64);
  IVORY_CHECK(corners.dim() == 2 && corners.size(1) == 4, "average precision: expected ", what,
              " as corners [n, 4], got ", corners.sizes());
  return corners.detach().to(torch::kCPU, torch::kFloat64).contiguous();
}

torch::Tensor checked_classes(const torch::Tensor& classes, int64_t count, int64_t most, const char* what) {
  if (count == 0) return torch::zeros({0}, torch::kInt64);
  IVORY_CHECK(classes.defined() && classes.numel() == count, "average precision: expected a class for each of ", count,
              " ", what);
  auto found = classes.detach().to(torch::kCPU, torch::kInt64).contiguous();
  const auto low = found.min().item<int64_t>(), high = found.max().item<int64_t>();
  IVORY_CHECK(low >= 1 && high <= most, "average precision: class ", low < 1 ? low : high, " of ", what,
              ", expected 1 to ", most);
  return found;
}

// At each threshold, which detection (best first) takes which box; −1: none.
std::vector<std::vector<int64_t>> matches(const std::vector<Corners>& detections, const std::vector<Truth>& truths,
                                          const std::vector<double>& thresholds) {
  constexpr double just_below_one = 1 - 1e-10;
  std::vector<std::vector<int64_t>> taken(thresholds.size(), std::vector<int64_t>(detections.size(), -1));
  std::vector<std::vector<double>> overlaps(detections.size());
  for (size_t d = 0; d < detections.size(); ++d)
    for (const Truth& truth : truths) overlaps[d].push_back(overlap(detections[d], truth.box, truth.crowd));
  for (size_t t = 0; t < thresholds.size(); ++t) {
    std::vector<bool> used(truths.size(), false);
    for (size_t d = 0; d < detections.size(); ++d) {
      double best = std::min(thresholds[t], just_below_one);
      int64_t match = -1;
      for (size_t g = 0; g < truths.size(); ++g) {
        if (used[g] && !truths[g].crowd) continue;
        if (match >= 0 && !truths[static_cast<size_t>(match)].crowd && truths[g].crowd) break;  // crowds come last
        if (overlaps[d][g] < best) continue;
        best = overlaps[d][g];
        match = static_cast<int64_t>(g);
      }
      taken[t][d] = match;
      if (match >= 0) used[static_cast<size_t>(match)] = true;
    }
  }
  return taken;
}

// Precision at `recall` from points of a curve with ascending recalls: that of the first which reaches it, else 0.
double read_at(const std::vector<double>& recalls, const std::vector<double>& precisions, double recall) {
  const auto first = std::ranges::lower_bound(recalls, recall) - recalls.begin();
  return static_cast<size_t>(first) < recalls.size() ? precisions[static_cast<size_t>(first)] : 0;
}

double mean_at(const std::vector<double>& recalls, const std::vector<double>& precisions, int64_t steps) {
  double total = 0;
  for (int64_t i = 0; i <= steps; ++i) {
    const double recall = i == steps ? 1 : static_cast<double>(i) * (1.0 / static_cast<double>(steps));
    total += read_at(recalls, precisions, recall);
  }
  return total / static_cast<double>(steps + 1);
}

}  // namespace

std::vector<double> coco_thresholds() {
  std::vector<double> thresholds;
  for (int64_t i = 0; i < 10; ++i) thresholds.push_back(0.5 + 0.05 * static_cast<double>(i));
  return thresholds;
}

AveragePrecision::AveragePrecision(int64_t classes, PrecisionOptions options)
    : options_(std::move(options)), kept_(static_cast<size_t>(classes)) {
  IVORY_CHECK(classes > 0, "average precision: at least one class is needed");
  for (const double threshold : options_.thresholds)
    IVORY_CHECK(threshold > 0 && threshold <= 1, "average precision: a threshold of ", threshold,
                ", expected more than 0 and at most 1");
}

void AveragePrecision::add(const Detections& detections, const Boxes& truth, const torch::Tensor& crowd) {
  const auto classes = static_cast<int64_t>(kept_.size());
  const auto found = checked_corners(detections.corners, "detections");
  const auto boxes = checked_corners(truth.corners, "boxes");
  const auto found_classes = checked_classes(detections.classes, found.size(0), classes, "detections");
  const auto box_classes = checked_classes(truth.classes, boxes.size(0), classes, "boxes");
  IVORY_CHECK(found.size(0) == 0 || (detections.scores.defined() && detections.scores.numel() == found.size(0)),
              "average precision: expected a score for each of ", found.size(0), " detections");
  const auto scores = found.size(0) > 0 ? detections.scores.detach().to(torch::kCPU, torch::kFloat64).contiguous()
                                        : torch::zeros({0}, torch::kFloat64);
  IVORY_CHECK(!scores.isnan().any().item<bool>(), "average precision: expected numbers as scores, got NaN");
  const auto crowds = crowd.defined() ? crowd.to(torch::kCPU, torch::kBool).contiguous() : torch::Tensor();
  for (int64_t c = 1; c <= classes; ++c) {
    OfClass& of = kept_[static_cast<size_t>(c - 1)];
    std::vector<Truth> truths;
    for (const int64_t i : places_of(box_classes, c))
      truths.push_back({corners_at(boxes, i), crowds.defined() && crowds.data_ptr<bool>()[i]});
    std::ranges::stable_partition(truths, [](const Truth& one) { return !one.crowd; });
    of.truths += std::ranges::count_if(truths, [](const Truth& one) { return !one.crowd; });

    auto order = places_of(found_classes, c);
    std::ranges::stable_sort(order, std::greater<>(), [&](int64_t i) { return scores.data_ptr<double>()[i]; });
    if (static_cast<int64_t>(order.size()) > options_.best) order.resize(static_cast<size_t>(options_.best));
    std::vector<Corners> best;
    for (const int64_t i : order) best.push_back(corners_at(found, i));
    const auto taken = matches(best, truths, options_.thresholds);
    for (size_t d = 0; d < order.size(); ++d) {
      Detection detection{.score = scores.data_ptr<double>()[order[d]], .right = {}, .ignored = {}};
      for (const auto& at_threshold : taken) {
        const int64_t match = at_threshold[d];
        const bool in_crowd = match >= 0 && truths[static_cast<size_t>(match)].crowd;
        detection.right.push_back(match >= 0 && !in_crowd);
        detection.ignored.push_back(in_crowd);
      }
      of.detections.push_back(std::move(detection));
    }
  }
}

double AveragePrecision::value(const OfClass& of, size_t threshold) const {
  if (of.truths == 0) return std::nan("");
  std::vector<size_t> order(of.detections.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::greater<>(), [&](size_t i) { return of.detections[i].score; });
  std::vector<double> recalls, precisions;
  double right = 0, wrong = 0;
  for (const size_t i : order) {
    const Detection& detection = of.detections[i];
    if (detection.ignored[threshold]) {
      if (right + wrong == 0) continue;
    } else {
      (detection.right[threshold] ? right : wrong) += 1;
    }
    recalls.push_back(right / static_cast<double>(of.truths));
    precisions.push_back(right / (right + wrong));
  }
  for (size_t i = precisions.size(); i-- > 1;) precisions[i - 1] = std::max(precisions[i - 1], precisions[i]);
  if (options_.kind == PrecisionKind::coco) return mean_at(recalls, precisions, 100);
  if (options_.kind == PrecisionKind::voc11) return mean_at(recalls, precisions, 10);
  double total = 0, before = 0;
  for (size_t i = 0; i < recalls.size(); ++i) {
    total += (recalls[i] - before) * precisions[i];
    before = recalls[i];
  }
  return total;
}

std::vector<std::vector<double>> AveragePrecision::values() const {
  std::vector<std::vector<double>> result;
  for (const OfClass& of : kept_) {
    result.emplace_back();
    for (size_t t = 0; t < options_.thresholds.size(); ++t) result.back().push_back(value(of, t));
  }
  return result;
}

double mean_defined(const std::vector<double>& values) {
  double total = 0, count = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    total += value;
    count += 1;
  }
  return count > 0 ? total / count : std::nan("");
}

}  // namespace ivory
