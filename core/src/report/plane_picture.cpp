#include "report/plane_picture.h"

#include <cmath>
#include <cstdio>

namespace ivory::experiment {
namespace {

using torch::Tensor;

constexpr double opacity = 0.45;
constexpr int64_t gap = 6;  // pixels between planes

// Distinct in hue and lightness, also next to grey.
constexpr std::array<std::array<uint8_t, 3>, 12> colours = {{{0xe6, 0x9f, 0x00},
                                                             {0x56, 0xb4, 0xe9},
                                                             {0x00, 0x9e, 0x73},
                                                             {0xf0, 0xe4, 0x42},
                                                             {0xd5, 0x5e, 0x00},
                                                             {0xcc, 0x79, 0xa7},
                                                             {0x00, 0x72, 0xb2},
                                                             {0x8c, 0xd1, 0x7d},
                                                             {0xb0, 0x7a, 0xff},
                                                             {0xff, 0x6f, 0x61},
                                                             {0x40, 0xe0, 0xd0},
                                                             {0xc4, 0x9c, 0x6b}}};

std::array<double, 2> extent_of(const data::PlaneView& plane) {
  return {static_cast<double>(plane.grey.size(0)) * plane.spacing[0],
          static_cast<double>(plane.grey.size(1)) * plane.spacing[1]};
}

// The pixel of `from` at the centre of each of `to` pixels.
Tensor nearest(int64_t from, int64_t to) {
  const Tensor centre =
      (torch::arange(to, torch::kFloat64) + 0.5) * (static_cast<double>(from) / static_cast<double>(to));
  return centre.floor().to(torch::kLong).clamp(0, from - 1);
}

// [H, W] → [h, w]
Tensor resized(const Tensor& grey, int64_t height, int64_t width) {
  namespace F = torch::nn::functional;
  return F::interpolate(grey.unsqueeze(0).unsqueeze(0), F::InterpolateFuncOptions()
                                                            .size(std::vector<int64_t>{height, width})
                                                            .mode(torch::kBilinear)
                                                            .align_corners(false)
                                                            .antialias(true))
      .squeeze(0)
      .squeeze(0)
      .clamp(0, 1);
}

// → [3, h, w] in 0 … 1
Tensor coloured(const data::PlaneView& plane, const std::vector<int32_t>& ids, double mm) {
  const auto [height_mm, width_mm] = extent_of(plane);
  const int64_t height = std::max<int64_t>(1, std::llround(height_mm / mm));
  const int64_t width = std::max<int64_t>(1, std::llround(width_mm / mm));
  Tensor rgb = resized(plane.grey, height, width).unsqueeze(0).repeat({3, 1, 1});
  if (!plane.labels.defined()) return rgb;
  const Tensor labels = plane.labels.index_select(0, nearest(plane.labels.size(0), height))
                            .index_select(1, nearest(plane.labels.size(1), width));  // [h, w]
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto& colour = colours[i % colours.size()];
    const Tensor paint = torch::tensor({colour[0] / 255.0, colour[1] / 255.0, colour[2] / 255.0}, torch::kFloat);
    const Tensor painted = rgb * (1 - opacity) + paint.view({3, 1, 1}) * opacity;
    rgb = torch::where((labels == ids[i]).unsqueeze(0), painted, rgb);
  }
  return rgb;
}

}  // namespace

std::string label_colour(size_t index) {
  const auto& colour = colours[index % colours.size()];
  char text[8];
  std::snprintf(text, sizeof text, "#%02x%02x%02x", colour[0], colour[1], colour[2]);
  return text;
}

Tensor draw_planes(const data::VolumeView& view, const std::vector<int32_t>& ids, int64_t longest) {
  std::vector<const data::PlaneView*> planes = {&view.axial};
  if (view.coronal) planes.insert(planes.end(), {&*view.coronal, &*view.sagittal});
  double largest = 0;
  for (const auto* plane : planes) largest = std::max({largest, extent_of(*plane)[0], extent_of(*plane)[1]});
  std::vector<Tensor> drawn;
  int64_t height = 0, width = -gap;
  for (const auto* plane : planes) {
    drawn.push_back(coloured(*plane, ids, largest / static_cast<double>(longest)));
    height = std::max(height, drawn.back().size(1));
    width += drawn.back().size(2) + gap;
  }
  const Tensor sheet = torch::zeros({3, height, width});
  int64_t x = 0;
  for (const Tensor& one : drawn) {
    const int64_t y = (height - one.size(1)) / 2;
    sheet.narrow(1, y, one.size(1)).narrow(2, x, one.size(2)).copy_(one);
    x += one.size(2) + gap;
  }
  return (sheet * 255).round().to(torch::kUInt8);
}

}  // namespace ivory::experiment
