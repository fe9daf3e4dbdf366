// Segmentation of slices by a 2D U-Net on the slice backbone, merged to volumes for the score (method.md §7).
//
//   L = dice_weight · (1 − mean_c (2 Σ p_c t_c + s) / (Σ p_c + Σ t_c + s)) + ce_weight · CE
//
// p is the softmax, t the truth as 0 or 1, s `smooth`. Sums run over all pixels of the batch; c over the foreground
// classes that the batch's truth has: the Dice of an absent class is next to 0 whatever is predicted, so that class is
// left to the cross-entropy.
//
// Scores are on the loader's grid (Context::size squared per slice), summed over all slices of a volume.

#include <ivory/metrics.h>
#include <ivory/nn/eval_mode.h>
#include <ivory/nn/unet.h>
#include <ivory/plugin.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>

namespace {

using namespace ivory;

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
  return palette[(label - 1) % palette.size()];
}

// Normalised image [1, H, W] → grey RGB [3, H, W], float in 0 … 255.
torch::Tensor grey(const torch::Tensor& image) {
  return ((image[0].to(torch::kCPU, torch::kFloat32) * 0.25 + 0.5).clamp(0, 1) * 255).expand({3, -1, -1}).clone();
}

// Pixels of a region [H, W] with a 4-neighbour outside it, or at the border of the picture.
torch::Tensor outline(const torch::Tensor& region) {
  const auto padded = torch::constant_pad_nd(region, {1, 1, 1, 1}, 0);
  const auto window = [&](int64_t row, int64_t column) {
    return padded.narrow(0, row, region.size(0)).narrow(1, column, region.size(1));
  };
  return region & ~(window(0, 1) & window(2, 1) & window(1, 0) & window(1, 2));
}

// Classes [H, W] over a picture: filled at a third of full strength, outlined at full strength.
torch::Tensor overlay(const torch::Tensor& picture, const torch::Tensor& classes, int64_t class_count) {
  auto painted = picture.clone();
  for (int64_t label = 1; label <= class_count; ++label) {
    const auto region = classes == label;
    const auto strength = region * 0.35 + outline(region) * 0.65;  // [H, W]
    const auto& rgb = colour_of(label).rgb;
    for (int64_t channel = 0; channel < 3; ++channel) {
      painted[channel] += strength * (rgb[channel] - painted[channel]);
    }
  }
  return painted;
}

class Segmentation : public Task {
 public:
  Segmentation(const Options& options, const Context& context)
      : dice_weight_(options.get<double>("dice_weight")),
        ce_weight_(options.get<double>("ce_weight")),
        smooth_(options.get<double>("smooth")),
        balanced_(options.get<bool>("balanced")),
        classes_(context.classes),
        volume_names_(context.volume_names) {
    IVORY_CHECK(!classes_.empty(), "task segmentation: at least one class is needed, none is declared");
    const auto encoder = context.model ? context.model->encoder(SampleKind::slice) : nullptr;
    IVORY_CHECK(encoder, "task segmentation: a slice backbone is needed, there is none");
    net_ =
        std::make_unique<nn::UNet>(encoder, options.get<std::vector<int64_t>>("decoder_channels"), class_count() + 1);
    // The parts themselves are registered, so that the state has the names of segmentation_models_pytorch.
    register_module("encoder", net_->encoder);
    register_module("decoder", net_->decoder);
    register_module("segmentation_head", net_->segmentation_head);
  }

  TaskNeeds needs() const override {
    return {.unit = SampleKind::slice, .target = Target::masks, .balanced = balanced_};
  }

  torch::Tensor loss(const TaskBatch& batch) override {
    auto logits = net_->forward(batch.images.pixels);  // [B, 1 + C, H, W]
    if (logits.scalar_type() != torch::kFloat64) logits = logits.to(torch::kFloat32);
    auto total = ce_weight_ * torch::nn::functional::cross_entropy(logits, batch.masks);
    if (dice_weight_ > 0) total = total + dice_weight_ * dice_loss(logits, batch.masks);
    return total;
  }

  void evaluate(const TaskBatch& batch) override {
    const auto predicted = predict(batch.images.pixels);  // [B, H, W]
    const auto expected = batch.masks.to(torch::kCPU);    // [B, H, W]
    for (int64_t i = 0; i < batch.size(); ++i) {
      auto& overlaps = overlaps_[batch.volume[i].item<int64_t>()];
      overlaps.resize(classes_.size());
      for (int64_t c = 0; c < class_count(); ++c) overlaps[c].add(predicted[i] == c + 1, expected[i] == c + 1);
    }
  }

  Scores scores() override;
  std::vector<Picture> pictures(const TaskBatch& batch, int64_t limit) override;

 private:
  int64_t class_count() const { return static_cast<int64_t>(classes_.size()); }

  torch::Tensor dice_loss(const torch::Tensor& logits, const torch::Tensor& masks) const {
    const auto probabilities = logits.softmax(1);
    std::vector<torch::Tensor> losses, present;
    for (int64_t c = 1; c <= class_count(); ++c) {
      const auto p = probabilities.select(1, c);  // [B, H, W]
      const auto t = (masks == c).to(p.scalar_type());
      const auto size = t.sum();
      losses.push_back(1 - (2 * (p * t).sum() + smooth_) / (p.sum() + size + smooth_));
      present.push_back((size > 0).to(p.scalar_type()));
    }
    const auto weights = torch::stack(present);  // [C]
    return (torch::stack(losses) * weights).sum() / weights.sum().clamp_min(1);
  }

  // Class of every pixel, on the CPU, in evaluation mode whatever the mode is now.
  torch::Tensor predict(const torch::Tensor& images) {
    const torch::NoGradGuard no_grad;
    const nn::EvalMode evaluating(*this);
    return net_->forward(images).argmax(1).to(torch::kCPU);
  }

  std::string volume_name(int64_t id) const {
    return id < static_cast<int64_t>(volume_names_.size()) ? volume_names_[id] : "volume " + std::to_string(id);
  }

  double dice_weight_, ce_weight_, smooth_;
  bool balanced_;
  std::vector<std::string> classes_, volume_names_;
  std::unique_ptr<nn::UNet> net_;
  std::map<int64_t, std::vector<Overlap>> overlaps_;  // by volume id, then class
};

Scores Segmentation::scores() {
  IVORY_CHECK(!overlaps_.empty(), "task segmentation: the split has no slices to score");
  Scores result;
  std::vector<double> iou(classes_.size(), 0), dice(classes_.size(), 0);  // means over volumes
  int64_t empty = 0, empty_but_predicted = 0;
  const auto volumes = static_cast<double>(overlaps_.size());
  for (const auto& [volume, overlaps] : overlaps_) {
    double sum = 0;
    for (size_t c = 0; c < overlaps.size(); ++c) {
      iou[c] += overlaps[c].iou() / volumes;
      dice[c] += overlaps[c].dice() / volumes;
      sum += overlaps[c].iou();
      if (overlaps[c].truth == 0) (overlaps[c].prediction == 0 ? empty : empty_but_predicted) += 1;
    }
    result.cases.emplace_back(volume_name(volume), sum / static_cast<double>(overlaps.size()));
  }
  const auto mean = [](const std::vector<double>& x) {
    return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
  };
  result.values = {{"iou", mean(iou)}, {"dice", mean(dice)}};
  for (size_t c = 0; c < classes_.size(); ++c) result.values.push_back({"iou/" + classes_[c], iou[c]});
  for (size_t c = 0; c < classes_.size(); ++c) result.values.push_back({"dice/" + classes_[c], dice[c]});
  result.counts = {{"volumes", static_cast<int64_t>(overlaps_.size())},
                   {"empty ground truth", empty + empty_but_predicted},
                   {"empty ground truth with a prediction", empty_but_predicted}};
  overlaps_.clear();
  return result;
}

// The slices with the most target; each as image | truth | prediction.
std::vector<Picture> Segmentation::pictures(const TaskBatch& batch, int64_t limit) {
  const auto predicted = predict(batch.images.pixels);
  const auto expected = batch.masks.to(torch::kCPU);
  const auto order = (expected > 0).sum({1, 2}).argsort(/*stable=*/true, /*dim=*/0, /*descending=*/true);
  std::string legend;
  for (int64_t c = 1; c <= class_count(); ++c) {
    legend += std::string(c > 1 ? ", " : "") + classes_[c - 1] + " " + colour_of(c).name;
  }
  std::vector<Picture> result;
  for (int64_t k = 0; k < std::min(limit, batch.size()); ++k) {
    const auto i = order[k].item<int64_t>();
    const auto image = grey(batch.images.pixels[i]);
    const auto gap = torch::full({3, image.size(1), 4}, 255.0);
    const auto row = torch::cat(
        {image, gap, overlay(image, expected[i], class_count()), gap, overlay(image, predicted[i], class_count())},
        2);  // [3, H, 3 W + 8]
    result.push_back({volume_name(batch.volume[i].item<int64_t>()) + ", slice " +
                          std::to_string(batch.position[i].item<int64_t>()) + ": image, truth, prediction (" + legend +
                          ")",
                      row.round().to(torch::kUInt8)});
  }
  return result;
}

Descriptor<Task> segmentation() {
  const std::string source = "method.md §7";
  return {
      .name = "segmentation",
      .summary = "2D U-Net on the slice backbone, slices merged to volumes, scored by 3D IoU and Dice.",
      .source = "Nguyen et al., AAAI 2023; Ronneberger et al., MICCAI 2015",
      .options = {{.name = "decoder_channels",
                   .fallback = std::vector<int64_t>{256, 128, 64, 32, 16},
                   .help =
                       "Channels of the decoder's blocks, deepest first: one per level of the slice backbone. With a "
                       "last one below 16 a class may find no channel and is then never predicted.",
                   .minimum = 1,
                   .maximum = 4096,
                   .unit = "channels",
                   .source = source},
                  {.name = "dice_weight",
                   .fallback = 1.0,
                   .help = "Weight of the soft Dice loss.",
                   .minimum = 0,
                   .source = source},
                  {.name = "ce_weight",
                   .fallback = 1.0,
                   .help = "Weight of the cross-entropy.",
                   .minimum = 0,
                   .source = source},
                  {.name = "smooth",
                   .fallback = 1.0,
                   .help = "Added to numerator and denominator of the soft Dice.",
                   .minimum = 0,
                   .unit = "pixels"},
                  {.name = "balanced",
                   .fallback = true,
                   .help = "Draw training slices with and without target 1:1.",
                   .source = source}},
      .check = [](const Options& options) -> std::string {
        const bool any = options.get<double>("dice_weight") > 0 || options.get<double>("ce_weight") > 0;
        return any ? "" : "dice_weight and ce_weight are both 0: nothing would be trained; set one above 0";
      },
      .create = [](const Options& options,
                   const Task::Context& context) { return std::make_shared<Segmentation>(options, context); },
  };
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(segmentation());
}
