#include <ivory/panels.h>

#include <array>

namespace ivory::panels {
namespace {

// Okabe & Ito's colours: told apart with every common colour blindness.
struct Colour {
  const char* name;
  std::array<int64_t, 3> rgb;
};
constexpr std::array<Colour, 7> palette = {{{"orange", {230, 159, 0}},
                                            {"sky blue", {86, 180, 233}},
                                            {"green", {0, 158, 115}},
                                            {"yellow", {240, 228, 66}},
                                            {"blue", {0, 114, 178}},
                                            {"vermilion", {213, 94, 0}},
                                            {"purple", {204, 121, 167}}}};

const Colour& colour_of(int64_t label) {
  return palette[static_cast<size_t>(label - 1) % palette.size()];
}

// Pixels of a region [H, W] with a 4-neighbour outside it, or at the border of the picture.
torch::Tensor outline(const torch::Tensor& region) {
  const auto padded = torch::constant_pad_nd(region, {1, 1, 1, 1}, 0);
  const auto window = [&](int64_t row, int64_t column) {
    return padded.narrow(0, row, region.size(0)).narrow(1, column, region.size(1));
  };
  return region & ~(window(0, 1) & window(2, 1) & window(1, 0) & window(1, 2));
}

}  // namespace

torch::Tensor grey(const torch::Tensor& slice) {
  return ((slice.to(torch::kCPU, torch::kFloat32) * 0.25 + 0.5).clamp(0, 1) * 255).expand({3, -1, -1}).clone();
}

torch::Tensor with_classes(const torch::Tensor& picture, const torch::Tensor& classes, int64_t class_count) {
  auto painted = picture.clone();
  for (int64_t label = 1; label <= class_count; ++label) {
    const auto region = classes == label;
    const auto strength = region * 0.35 + outline(region) * 0.65;  // [H, W]
    const auto& rgb = colour_of(label).rgb;
    for (int64_t channel = 0; channel < 3; ++channel) {
      painted[channel] += strength * (rgb[static_cast<size_t>(channel)] - painted[channel]);
    }
  }
  return painted;
}

std::string legend(const std::vector<std::string>& classes) {
  std::string text;
  for (size_t c = 0; c < classes.size(); ++c) {
    text += (c > 0 ? ", " : "") + classes[c] + " " + colour_of(static_cast<int64_t>(c) + 1).name;
  }
  return text;
}

torch::Tensor row(const std::vector<torch::Tensor>& pictures, int64_t gap) {
  std::vector<torch::Tensor> parts;
  for (const auto& picture : pictures) {
    if (!parts.empty() && gap > 0) parts.push_back(torch::full({3, picture.size(1), gap}, 255.0));
    parts.push_back(picture);
  }
  return torch::cat(parts, 2).round().to(torch::kUInt8);
}

}  // namespace ivory::panels
