#include <ivory/error.h>
#include <ivory/model.h>

#include <algorithm>
#include <numeric>

namespace ivory {
namespace {

namespace F = torch::nn::functional;

// The levels of a backbone that make a slice's token: at most the last four, so that the stem is left out.
constexpr size_t token_levels = 4;

torch::Tensor unit(const torch::Tensor& x) {
  return F::normalize(x, F::NormalizeFuncOptions().dim(-1));
}

int64_t width_of_slice_features(const BackboneInfo& info, LevelUse levels) {
  if (levels == LevelUse::last) return info.width;
  const auto count = std::min(token_levels, info.level_widths.size());
  return std::accumulate(info.level_widths.end() - count, info.level_widths.end(), info.width);
}

}  // namespace

Model::Model(std::shared_ptr<Backbone> slice_backbone, std::shared_ptr<Backbone> volume_backbone, LevelUse levels,
             int64_t token_width, int64_t frames)
    : levels_(levels), token_width_(token_width), frames_(frames) {
  const auto info = slice_backbone->info();
  IVORY_CHECK(info.input == InputKind::image, "f_intra must be a backbone of images");
  feature_width_ = width_of_slice_features(info, levels);
  intra = register_module("intra", std::move(slice_backbone));
  projection = register_module("projection", torch::nn::Linear(feature_width_, token_width));
  if (volume_backbone) {
    IVORY_CHECK(volume_backbone->info().input == InputKind::tokens, "f_inter must be a backbone of tokens");
    inter = register_module("inter", std::move(volume_backbone));
  }
}

torch::Tensor Model::slice_features(const torch::Tensor& volumes) {
  IVORY_CHECK(volumes.dim() == 5, "volumes must be [B, F, 1, H, W], but got a tensor of shape ", volumes.sizes());
  const auto features = intra->forward(volumes.flatten(0, 1));  // of [B·F, 1, H, W]
  std::vector<torch::Tensor> parts;                             // each [B·F, C]
  if (levels_ == LevelUse::all) {
    const auto count = std::min(token_levels, features.levels.size());
    for (auto level = features.levels.end() - count; level != features.levels.end(); ++level) {
      parts.push_back(unit(level->mean({2, 3})));
    }
  }
  parts.push_back(unit(features.pooled));
  return torch::cat(parts, 1).unflatten(0, {volumes.size(0), volumes.size(1)});  // [B, F, sum of widths]
}

Features Model::volumes(const torch::Tensor& tokens) {
  IVORY_CHECK(inter, "this needs a volume backbone, but [model] names none");
  return inter->forward(tokens);
}

Features Model::embed(const torch::Tensor& volumes_of_slices) {
  return volumes(project(slice_features(volumes_of_slices)));
}

}  // namespace ivory
