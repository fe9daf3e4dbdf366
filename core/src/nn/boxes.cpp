#include <ivory/error.h>
#include <ivory/nn/boxes.h>

#include <algorithm>
#include <numeric>

#include "nn/cpu/suppress.h"

namespace ivory::nn {

using torch::Tensor;

namespace {

void check_boxes(const Tensor& boxes, const char* what) {
  IVORY_CHECK(boxes.dim() == 2 && boxes.size(1) == 4, what, ": expected boxes [n, 4], got ", boxes.sizes());
}

struct Centres {
  Tensor x, y, width, height;  // [n, 1]
};

Centres centres(const Tensor& boxes) {
  const auto column = [&](int64_t i) { return boxes.narrow(1, i, 1); };
  Centres of{.x = {}, .y = {}, .width = column(2) - column(0), .height = column(3) - column(1)};
  of.x = column(0) + 0.5 * of.width;
  of.y = column(1) + 0.5 * of.height;
  return of;
}

using Corners = std::array<double, 4>;

double overlap(const Corners& a, const Corners& b) {
  const auto area = [](const Corners& box) { return (box[2] - box[0]) * (box[3] - box[1]); };
  const double width = std::min(a[2], b[2]) - std::max(a[0], b[0]);
  const double height = std::min(a[3], b[3]) - std::max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  return width * height / (area(a) + area(b) - width * height);
}

struct Cluster {
  Corners weighted{};  // sums over its boxes
  double weight = 0;
  int64_t count = 0;

  Corners box() const {
    Corners mean = weighted;
    for (double& edge : mean) edge /= weight;
    return mean;
  }
};

}  // namespace

Tensor box_overlaps(const Tensor& a, const Tensor& b) {
  check_boxes(a, "overlap");
  check_boxes(b, "overlap");
  const auto low = torch::maximum(a.unsqueeze(1).narrow(2, 0, 2), b.unsqueeze(0).narrow(2, 0, 2));   // [n, m, 2]
  const auto high = torch::minimum(a.unsqueeze(1).narrow(2, 2, 2), b.unsqueeze(0).narrow(2, 2, 2));  // [n, m, 2]
  const auto sides = (high - low).clamp_min(0);
  const auto both = sides.select(2, 0) * sides.select(2, 1);
  const auto area = [](const Tensor& x) {
    return (x.select(1, 2) - x.select(1, 0)) * (x.select(1, 3) - x.select(1, 1));
  };
  const auto either = area(a).unsqueeze(1) + area(b).unsqueeze(0) - both;
  return torch::where(either > 0, both / either, torch::zeros({}, both.options()));
}

Tensor clip_boxes(const Tensor& boxes, int64_t height, int64_t width) {
  const auto x = boxes.slice(-1, 0, 4, 2).clamp(0, width), y = boxes.slice(-1, 1, 4, 2).clamp(0, height);
  return torch::stack({x, y}, -1).flatten(-2);
}

Tensor BoxCoder::encode(const Tensor& boxes, const Tensor& anchors) const {
  check_boxes(boxes, "box coder");
  check_boxes(anchors, "box coder");
  const Centres box = centres(boxes), anchor = centres(anchors);
  return torch::cat(
      {weights[0] * (box.x - anchor.x) / anchor.width, weights[1] * (box.y - anchor.y) / anchor.height,
       weights[2] * torch::log(box.width / anchor.width), weights[3] * torch::log(box.height / anchor.height)},
      1);
}

Tensor BoxCoder::decode(const Tensor& codes, const Tensor& anchors) const {
  check_boxes(anchors, "box coder");
  IVORY_CHECK(codes.dim() == 2 && codes.size(0) == anchors.size(0) && codes.size(1) % 4 == 0,
              "box coder: expected codes [", anchors.size(0), ", 4 · boxes], got ", codes.sizes());
  const Centres anchor = centres(anchors.to(codes.scalar_type()));
  const auto code = [&](int64_t i) { return codes.slice(1, i, codes.size(1), 4) / weights[static_cast<size_t>(i)]; };
  const auto size = [&](int64_t i, const Tensor& of) {
    auto growth = code(i).clamp_max(most);
    if (least) growth = growth.clamp_min(-most);
    return growth.exp() * of;
  };
  const auto x = code(0) * anchor.width + anchor.x, y = code(1) * anchor.height + anchor.y;
  const auto width = 0.5 * size(2, anchor.width), height = 0.5 * size(3, anchor.height);
  return torch::stack({x - width, y - height, x + width, y + height}, 2);
}

Tensor suppress(const Tensor& boxes, const Tensor& scores, double threshold) {
  return suppress_by_class(boxes, scores, torch::zeros({boxes.size(0)}, torch::kInt64), threshold);
}

Tensor suppress_by_class(const Tensor& boxes, const Tensor& scores, const Tensor& classes, double threshold) {
  check_boxes(boxes, "suppression");
  IVORY_CHECK(scores.dim() == 1 && scores.size(0) == boxes.size(0) && classes.sizes() == scores.sizes(),
              "suppression: expected ", boxes.size(0), " scores and classes, got ", scores.sizes(), " and ",
              classes.sizes());
  if (boxes.size(0) == 0) return torch::zeros({0}, boxes.options().dtype(torch::kInt64));
  const auto s = scores.detach().to(torch::kCPU), c = classes.to(torch::kCPU);
  auto order = s.argsort(/*stable=*/true, /*dim=*/0, /*descending=*/true);                      // over all classes
  order = order.index_select(0, c.index_select(0, order).argsort(/*stable=*/true, /*dim=*/0));  // by class, then score
  const auto sorted = boxes.detach().to(torch::kCPU).index_select(0, order), of = c.index_select(0, order).contiguous();
  const auto stays = torch::empty({boxes.size(0)}, torch::kBool);
  const auto* number = of.data_ptr<int64_t>();
  for (int64_t first = 0, end = 0; first < boxes.size(0); first = end) {
    while (end < boxes.size(0) && number[end] == number[first]) ++end;
    cpu::suppress(sorted.slice(0, first, end), threshold, stays.data_ptr<bool>() + first);
  }
  const auto kept = std::get<0>(order.index({stays}).sort());
  return kept.index_select(0, s.index_select(0, kept).argsort(true, 0, true)).to(boxes.device());
}

FusedBoxes fuse_boxes(const Tensor& boxes, const Tensor& scores, double threshold, TiedBoxes tied) {
  check_boxes(boxes, "fusion of boxes");
  IVORY_CHECK(scores.dim() == 1 && scores.size(0) == boxes.size(0), "fusion of boxes: expected ", boxes.size(0),
              " scores, got ", scores.sizes());
  const auto corners = boxes.to(torch::kCPU, torch::kFloat64).contiguous();
  const auto values = scores.to(torch::kCPU, torch::kFloat64).contiguous();
  std::vector<int64_t> order(static_cast<size_t>(boxes.size(0)));
  std::iota(order.begin(), order.end(), int64_t{0});
  if (tied == TiedBoxes::last) std::ranges::reverse(order);
  std::ranges::stable_sort(order, std::greater<>(), [&](int64_t i) { return values.data_ptr<double>()[i]; });
  std::vector<Cluster> clusters;
  for (const int64_t i : order) {
    Corners box{};
    std::copy_n(corners.data_ptr<double>() + 4 * i, 4, box.begin());
    const double score = values.data_ptr<double>()[i];
    IVORY_CHECK(score > 0, "fusion of boxes: a score of ", score, ", expected more than 0");
    double best = threshold;
    Cluster* joins = nullptr;
    for (Cluster& cluster : clusters) {
      const double shared = overlap(cluster.box(), box);
      if (shared > best) best = shared, joins = &cluster;
    }
    if (!joins) joins = &clusters.emplace_back();
    for (size_t edge = 0; edge < 4; ++edge) joins->weighted[edge] += score * box[edge];
    joins->weight += score;
    ++joins->count;
  }
  FusedBoxes fused{torch::empty({static_cast<int64_t>(clusters.size()), 4}, torch::kFloat64),
                   torch::empty({static_cast<int64_t>(clusters.size())}, torch::kFloat64)};
  for (size_t k = 0; k < clusters.size(); ++k) {
    const Corners box = clusters[k].box();
    std::ranges::copy(box, fused.boxes.data_ptr<double>() + 4 * k);
    fused.scores.data_ptr<double>()[k] = clusters[k].weight / static_cast<double>(clusters[k].count);
  }
  return fused;
}

}  // namespace ivory::nn
