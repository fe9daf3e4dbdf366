#include <ivory/error.h>
#include <ivory/nn/token_start.h>

namespace ivory::nn {

Option standardise_tokens_option() {
  return {.name = "standardise_tokens",
          .fallback = false,
          .help =
              "Begin by scaling and shifting the projection so that every entry of the tokens has mean 0 and variance "
              "1 over the data. For the first stage that trains the projection."};
}

void standardise_tokens(ImageVolumeModel& model, const StageContext& stage) {
  IVORY_CHECK(stage.for_each_batch, "standardise_tokens needs a pass over the data: for_each_batch is not set");
  const torch::NoGradGuard no_grad;
  const bool training = model.intra->is_training();
  model.intra->eval();
  const auto like = torch::TensorOptions(model.projection->weight.device()).dtype(torch::kDouble);
  torch::Tensor moments = torch::zeros({2, model.token_width()}, like), count = torch::zeros({1}, like);
  stage.for_each_batch(Tail::partial, [&](const Batch& batch) {
    for (const View& view : batch.views) {
      const auto tokens =
          model.project(model.slice_features(view.pixels)).flatten(0, 1).to(torch::kDouble);  // [B·F, D]
      moments += torch::stack({tokens.sum(0), tokens.square().sum(0)});
      count += static_cast<double>(tokens.size(0));
    }
  });
  model.intra->train(training);
  stage.group->all_reduce_sum(moments);
  stage.group->all_reduce_sum(count);

  const auto mean = moments[0] / count;                        // [D]
  const auto variance = moments[1] / count - mean.square();    // [D]
  const auto varies = variance > 1e-12 * (1 + mean.square());  // above what the sums are rounded by
  const auto scale = torch::where(varies, variance.rsqrt(), torch::ones_like(variance));
  auto& projection = *model.projection;
  projection.bias.copy_((projection.bias.to(torch::kDouble) - mean) * scale);
  projection.weight.copy_(projection.weight.to(torch::kDouble) * scale.unsqueeze(1));
}

}  // namespace ivory::nn
