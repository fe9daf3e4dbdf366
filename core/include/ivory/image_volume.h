#pragma once
// The joint model of images and volumes (Nguyen et al., AAAI 2023): f_intra (a slice backbone), the projection of its
// levels to tokens, f_inter (a token backbone).

#include <ivory/model.h>

#include <memory>
#include <string>
#include <vector>

namespace ivory {

// Which of f_intra's levels make a slice's token (method.md §1): global averages of its token levels (a ResNet's layer1
// … layer4, without its stem) and the pooled feature again, each L2-normalised and concatenated (5888 for ResNet-50),
// or the pooled feature alone (Table 6's ablation).
enum class LevelUse { all, last };

class ImageVolumeModel : public Model {
 public:
  static constexpr const char* plugin_name = "image-volume";

  // inter may be null (stage 1 alone needs none). token_width: D; frames: F.
  ImageVolumeModel(std::shared_ptr<Backbone> intra, std::shared_ptr<Backbone> inter, LevelUse levels,
                   int64_t token_width, int64_t frames);

  int64_t width(SampleKind kind) const override;
  // Slices: f_intra's features. Volumes: f_intra, projection and f_inter in a row: tokens and holistic feature.
  Features embed(const torch::Tensor& samples) override;
  std::shared_ptr<Backbone> encoder(SampleKind kind) const override;
  std::vector<std::string> parts_for(SampleKind kind) const override;

  // [B, 1, F, H, W] → multi-level slice features before the projection [B, F, sum of widths].
  torch::Tensor slice_features(const torch::Tensor& volumes);
  // [B, F, sum of widths] → tokens [B, F, D].
  torch::Tensor project(const torch::Tensor& features) { return projection->forward(features); }
  // Tokens [B, F, D] → tokens [B, F, D] and the holistic feature [B, D] (Eq. 6–10).
  Features volumes(const torch::Tensor& tokens);

  int64_t feature_width() const { return feature_width_; }  // of slice_features
  int64_t token_width() const { return token_width_; }      // D
  int64_t frames() const { return frames_; }                // F
  bool has_inter() const { return inter != nullptr; }

  // Registered as "intra", "projection", "inter".
  std::shared_ptr<Backbone> intra;
  torch::nn::Linear projection{nullptr};
  std::shared_ptr<Backbone> inter;

 private:
  LevelUse levels_;
  int64_t feature_width_;
  int64_t token_width_;
  int64_t frames_;
};

}  // namespace ivory
