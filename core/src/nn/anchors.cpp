#include <ivory/error.h>
#include <ivory/nn/anchors.h>

namespace ivory::nn {

using torch::Tensor;

Tensor cell_anchors(double size, const std::vector<double>& ratios, bool rounded) {
  const auto tall = torch::tensor(ratios, torch::kFloat64).sqrt();
  const auto width = size / tall / 2, height = size * tall / 2;
  const auto anchors = torch::stack({-width, -height, width, height}, 1);
  return rounded ? anchors.round() : anchors;
}

Tensor grid_anchors(const Tensor& cell, int64_t rows, int64_t columns, int64_t row_stride, int64_t column_stride) {
  const auto options = cell.options();
  const auto y = (torch::arange(rows, options) * row_stride).view({rows, 1}).expand({rows, columns});
  const auto x = (torch::arange(columns, options) * column_stride).view({1, columns}).expand({rows, columns});
  const auto shift = torch::stack({x, y, x, y}, 2).view({-1, 1, 4});
  return (shift + cell.unsqueeze(0)).view({-1, 4});
}

Tensor match_anchors(const Tensor& overlaps, const MatchRule& rule) {
  IVORY_CHECK(overlaps.dim() == 2, "anchors: expected overlaps [boxes, anchors], got ", overlaps.sizes());
  const auto indices = overlaps.options().dtype(torch::kInt64);
  if (overlaps.size(0) == 0) return torch::full({overlaps.size(1)}, background, indices);
  const auto [most, best] = overlaps.max(0);  // of each anchor
  auto matched = best.clone();
  matched.masked_fill_(most < rule.positive, ignored);
  matched.masked_fill_(most < rule.negative, background);
  if (rule.low_quality == MatchRule::LowQuality::ignored || overlaps.size(1) == 0) return matched;
  const auto of_box = std::get<0>(overlaps.max(1));  // [boxes]
  if (rule.low_quality == MatchRule::LowQuality::shared) {
    const auto tied = (overlaps == of_box.unsqueeze(1)).any(0);
    return torch::where(tied, best, matched);
  }
  for (int64_t box = 0; box < overlaps.size(0); ++box) {
    if (of_box[box].item<double>() < rule.least) continue;
    matched.masked_fill_(overlaps[box] == of_box[box], box);
  }
  return matched;
}

}  // namespace ivory::nn
