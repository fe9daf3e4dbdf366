#include <ivory/image_volume.h>

namespace ivory {
namespace {

namespace F = torch::nn::functional;

torch::Tensor unit(const torch::Tensor& x) {
  return F::normalize(x, F::NormalizeFuncOptions().dim(-1));
}

int64_t width_of_slice_features(const BackboneInfo& info, LevelUse levels) {
  if (levels == LevelUse::last) return info.width;
  int64_t width = info.width;
  for (size_t level = info.levels.size() - info.token_levels; level < info.levels.size(); ++level) {
    width += info.levels[level].width;
  }
  return width;
}

}  // namespace

ImageVolumeModel::ImageVolumeModel(std::shared_ptr<Backbone> slice_backbone, std::shared_ptr<Backbone> volume_backbone,
                                   LevelUse levels, int64_t token_width, int64_t frames)
    : levels_(levels), token_width_(token_width), frames_(frames) {
  const auto info = slice_backbone->info();
  IVORY_CHECK(info.input == Input::image, "f_intra must be a backbone of images");
  feature_width_ = width_of_slice_features(info, levels);
  intra = register_module("intra", std::move(slice_backbone));
  projection = register_module("projection", torch::nn::Linear(feature_width_, token_width));
  if (volume_backbone) {
    IVORY_CHECK(volume_backbone->info().input == Input::tokens, "f_inter must be a backbone of tokens");
    inter = register_module("inter", std::move(volume_backbone));
  }
}

int64_t ImageVolumeModel::width(SampleKind kind) const {
  if (kind == SampleKind::slice) return intra->info().width;
  return has_inter() ? token_width_ : 0;
}

std::shared_ptr<Backbone> ImageVolumeModel::encoder(SampleKind kind) const {
  return kind == SampleKind::slice ? intra : inter;
}

std::vector<std::string> ImageVolumeModel::parts_for(SampleKind kind) const {
  return kind == SampleKind::slice ? std::vector<std::string>{"intra"} : parts();
}

Features ImageVolumeModel::embed(const torch::Tensor& samples) {
  if (kind_of(samples) == SampleKind::slice) return intra->forward(samples);
  return volumes(project(slice_features(samples)));
}

torch::Tensor ImageVolumeModel::slice_features(const torch::Tensor& stacks) {
  IVORY_CHECK(stacks.dim() == 5 && stacks.size(1) == 1, "volumes must be [B, 1, F, H, W], but got a tensor of shape ",
              stacks.sizes());
  const auto slices = stacks.squeeze(1).flatten(0, 1).unsqueeze(1);  // [B·F, 1, H, W]
  const auto features = intra->forward(slices);
  std::vector<torch::Tensor> parts;  // each [B·F, C]
  if (levels_ == LevelUse::all) {
    const auto count = static_cast<std::ptrdiff_t>(intra->info().token_levels);
    for (auto level = features.levels.end() - count; level != features.levels.end(); ++level) {
      parts.push_back(unit(level->mean({2, 3})));
    }
  }
  parts.push_back(unit(features.pooled));
  return torch::cat(parts, 1).unflatten(0, {stacks.size(0), stacks.size(2)});  // [B, F, sum of widths]
}

Features ImageVolumeModel::volumes(const torch::Tensor& tokens) {
  IVORY_CHECK(inter, "this needs a volume backbone, but [model] names none");
  return inter->forward(tokens);
}

}  // namespace ivory
