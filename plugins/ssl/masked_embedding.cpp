// Masked embedding prediction (Nguyen et al., AAAI 2023, Eq. 13–15): f_inter predicts the tokens of masked slices.
//   x = P(f_intra(volume));  x̃ = x with ⌈ratio·F⌉ tokens replaced by one learnable token
//   loss = mean over volumes and views of Σ over masked slices ‖W f_inter(x̃) + b − P'(f_intra(volume))‖²
// f_intra is frozen. P' is a copy of the projection from before the stage: with a trainable target a constant would do.
#include <ivory/image_volume.h>
#include <ivory/nn/eval_mode.h>
#include <ivory/nn/token_start.h>
#include <ivory/plugin.h>
#include <ivory/random.h>

#include <cmath>
#include <numeric>

namespace {

using torch::Tensor;
namespace nn = torch::nn;

constexpr uint64_t mask_stream = 0x6d61736b;  // keeps these draws apart from the loader's

// `count` distinct slices of `frames`, in ascending order.
std::vector<int64_t> draw(int64_t frames, int64_t count, ivory::CounterRandom random) {
  std::vector<int64_t> order(frames);
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = 0; i < count; ++i) std::swap(order[i], order[i + random.below(frames - i)]);
  order.resize(count);
  std::sort(order.begin(), order.end());
  return order;
}

// Weights [F, F] that give every masked slice from the unmasked ones by linear interpolation of its nearest unmasked
// neighbours (the nearest one alone at the ends); zero rows elsewhere.
Tensor neighbour_weights(const std::vector<int64_t>& masked, int64_t frames) {
  auto weights = torch::zeros({frames, frames}, torch::kDouble);
  auto w = weights.accessor<double, 2>();
  const auto is_masked = [&](int64_t i) { return std::binary_search(masked.begin(), masked.end(), i); };
  for (const int64_t i : masked) {
    int64_t left = i, right = i;
    while (left >= 0 && is_masked(left)) --left;
    while (right < frames && is_masked(right)) ++right;
    if (left < 0) left = right;
    if (right >= frames) right = left;
    const double share = left == right ? 0.5 : static_cast<double>(i - left) / static_cast<double>(right - left);
    w[i][left] += 1 - share;
    w[i][right] += share;
  }
  return weights;
}

class MaskedEmbedding : public ivory::Objective {
 public:
  MaskedEmbedding(const ivory::Options& options, const Context& context)
      : ratio_(options.get<double>("mask_ratio")), standardise_(options.get<bool>("standardise_tokens")) {
    const auto& model = ivory::model_as<ivory::ImageVolumeModel>(context.model, "masked-embedding");
    const int64_t d = model.token_width();
    mask_token = register_parameter("mask_token", 0.02 * torch::randn({d}));
    decoder = register_module("decoder", nn::Linear(d, d));
    target_weight = register_buffer("target_weight", torch::zeros({d, model.feature_width()}));
    target_bias = register_buffer("target_bias", torch::zeros({d}));
    target_set = register_buffer("target_set", torch::zeros({}, torch::kLong));
  }

  std::vector<std::string> trains() const override { return {"projection", "inter"}; }

  void before_training(ivory::Model& any, const ivory::StageContext& stage) override {
    auto& model = ivory::model_as<ivory::ImageVolumeModel>(any, "masked-embedding");
    seed_ = ivory::mix(stage.seed, mask_stream);
    if (target_set.item<int64_t>() != 0) return;  // once: the copy stays
    if (standardise_) ivory::nn::standardise_tokens(model, stage);
    const torch::NoGradGuard no_grad;
    target_weight.copy_(model.projection->weight);
    target_bias.copy_(model.projection->bias);
    target_set.fill_(1);
    if (stage.for_each_batch) start_at_mean(model, stage);
  }

  void before_step(ivory::Model&, const ivory::StageContext& stage) override {
    seed_ = ivory::mix(stage.seed, mask_stream);
    step_ = stage.step;
  }

  ivory::LossTerms forward(ivory::Model& any, const ivory::Batch& batch) override {
    auto& model = ivory::model_as<ivory::ImageVolumeModel>(any, "masked-embedding");
    IVORY_CHECK(target_set.item<int64_t>() != 0, "masked-embedding: before_training must come before the first batch");
    Tensor loss;
    mean_error_ = neighbour_error_ = 0;
    const auto views = static_cast<double>(batch.views.size());
    for (size_t v = 0; v < batch.views.size(); ++v) {
      const Tensor term = view_loss(model, batch.views[v].pixels, batch.index, v) / views;
      loss = loss.defined() ? loss + term : term;
    }
    mean_error_ /= views;
    neighbour_error_ /= views;
    loss_ = loss.item<double>();
    return {{"masked_embedding", loss}};
  }

  // mean_token_error: predicting for every masked slice the mean of its volume's unmasked target tokens.
  // neighbour_error: interpolating its nearest unmasked target tokens. Both in the units of the loss; ratio: loss /
  // mean_token_error. Of this process's last batch.
  std::vector<ivory::Measure> measures() const override {
    return {{.name = "mean_token_error", .value = mean_error_, .unit = "loss"},
            {.name = "neighbour_error", .value = neighbour_error_, .unit = "loss"},
            {.name = "ratio",
             .value = mean_error_ > 0 ? loss_ / mean_error_ : 0,
             .compare = 1,
             .compare_label = "the mean token"}};
  }

 private:
  // The decoder starts at the best constant, the mean target token of the whole data set: tokens differ between slices
  // by far less than their size, so that a random decoder would spend most of a short stage on finding that constant.
  void start_at_mean(ivory::ImageVolumeModel& model, const ivory::StageContext& stage) {
    const torch::NoGradGuard no_grad;
    const ivory::nn::EvalMode eval(*model.intra);
    Tensor sum = torch::zeros_like(target_bias), count = torch::zeros_like(target_bias);
    stage.for_each_batch(ivory::Tail::partial, [&](const ivory::Batch& batch) {
      for (const ivory::View& view : batch.views) {
        const Tensor tokens = target_of(model.slice_features(view.pixels)).flatten(0, 1);  // [B·F, D]
        sum += tokens.sum(0);
        count += static_cast<double>(tokens.size(0));
      }
    });
    stage.group->all_reduce_sum(sum);
    stage.group->all_reduce_sum(count);
    decoder->weight.zero_();
    decoder->bias.copy_(sum / count);
  }

  // P'(features): [B, F, widths] → [B, F, D], computed in fp32 at least: tokens of one volume differ by far less than
  // their size, so that half precision would round away what is to be predicted.
  Tensor target_of(const Tensor& features) const {
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    return torch::linear(precise(features), target_weight, target_bias);
  }

  Tensor decoded(const Tensor& tokens) {
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    return decoder(precise(tokens));
  }

  static Tensor precise(const Tensor& x) { return x.to(torch::promoteTypes(torch::kFloat, x.scalar_type())); }

  int64_t masked_count(int64_t frames) const {
    const auto count = static_cast<int64_t>(std::ceil(ratio_ * static_cast<double>(frames) - 1e-9));
    IVORY_CHECK(count < frames, "mask_ratio = ", ratio_, " masks all ", frames, " slices of a volume: set it lower");
    return count;
  }

  Tensor view_loss(ivory::ImageVolumeModel& model, const Tensor& volumes, const Tensor& index, uint64_t view) {
    const int64_t batch = volumes.size(0), frames = volumes.size(2), count = masked_count(frames);
    Tensor features, target;  // [B, F, widths], [B, F, D]
    {
      const torch::NoGradGuard no_grad;
      const ivory::nn::EvalMode eval(*model.intra);
      features = model.slice_features(volumes);
      target = target_of(features);
    }
    auto mask = torch::zeros({batch, frames}, torch::kBool);
    std::vector<Tensor> weights;
    const auto ids = index.to(torch::kCPU, torch::kLong).contiguous();
    for (int64_t b = 0; b < batch; ++b) {
      const ivory::CounterRandom random(seed_, step_, static_cast<uint64_t>(ids.data_ptr<int64_t>()[b]), view);
      const auto masked = draw(frames, count, random);
      for (const int64_t i : masked) mask[b][i] = true;
      weights.push_back(neighbour_weights(masked, frames));
    }
    mask = mask.to(features.device()).unsqueeze(2);  // [B, F, 1]
    add_baselines(target, mask, torch::stack(weights).to(target.options()));

    const Tensor tokens = model.project(features);
    const Tensor masked_tokens = torch::where(mask, mask_token.to(tokens.scalar_type()), tokens);
    const Tensor predicted = decoded(model.volumes(masked_tokens).tokens);  // [B, F, D]
    IVORY_CHECK(predicted.sizes() == target.sizes(), "masked-embedding needs volumes of the model's ", model.frames(),
                " slices, but got ", frames);
    return error(predicted, target, mask);
  }

  // Squared distance, summed over masked slices, averaged over volumes.
  static Tensor error(const Tensor& predicted, const Tensor& target, const Tensor& mask) {
    return ((predicted - target).square() * mask).sum() / static_cast<double>(target.size(0));
  }

  void add_baselines(const Tensor& target, const Tensor& mask, const Tensor& weights) {
    const torch::NoGradGuard no_grad;
    const Tensor seen = mask.logical_not();
    const Tensor mean = (target * seen).sum(1, true) / seen.sum(1, true);  // [B, 1, D]
    mean_error_ += error(mean, target, mask).item<double>();
    neighbour_error_ += error(weights.matmul(target), target, mask).item<double>();
  }

  double ratio_;
  bool standardise_;
  uint64_t seed_ = 0;
  int64_t step_ = 0;
  double loss_ = 0, mean_error_ = 0, neighbour_error_ = 0;
  Tensor mask_token;                              // [D]
  nn::Linear decoder{nullptr};                    // D → D
  Tensor target_weight, target_bias, target_set;  // P', and whether it was copied
};

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "masked-embedding",
      .summary = "Prediction of the tokens of masked slices from the other slices of the volume.",
      .source = "Nguyen et al., AAAI 2023, Eq. 13-15",
      .options = {{.name = "mask_ratio",
                   .fallback = 0.1,
                   .help = "Share of a volume's slices that is masked, rounded up.",
                   .minimum = 0.001,
                   .maximum = 0.999,
                   .source = "Eq. 13"},
                  ivory::nn::standardise_tokens_option()},
      .kinds = {ivory::SampleKind::volume},
      .create = [](const ivory::Options& options, const ivory::Objective::Context& context)
          -> std::shared_ptr<ivory::Objective> { return std::make_shared<MaskedEmbedding>(options, context); }});
}
