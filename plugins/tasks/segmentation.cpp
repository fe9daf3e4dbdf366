// Segmentation by a U-Net on the model's encoder, or by the model's own decoder (and head, where the network brings
// both), merged to volumes for the score (method.md §7): of slices, in 2D, where the model takes slices, else of cubes,
// in 3D.
//
//   L = dice_weight · (1 − mean_c (2 Σ p_c t_c + s) / (Σ p_c + Σ t_c + s)) + ce_weight · CE
//
// p is the softmax, t the truth as 0 or 1, s `smooth`. Sums run over all voxels of the batch; c over the foreground
// classes that the batch's truth has: the Dice of an absent class is next to 0 whatever is predicted, so that class is
// left to the cross-entropy.
//
// Slices: scores are on the loader's grid (Context::size), summed over all slices of a volume. Cubes: whole volumes are
// predicted in overlapping windows (networks_tasks.md §1.9), the scores are on the grid of the cubes' spacing.

#include <ivory/metrics.h>
#include <ivory/nn/eval_mode.h>
#include <ivory/nn/own_decoder.h>
#include <ivory/nn/sliding_window.h>
#include <ivory/nn/unet.h>
#include <ivory/panels.h>
#include <ivory/plugin.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace {

using namespace ivory;

template <class T>
std::array<T, 3> triple(const Options& options, const std::string& name) {
  const auto values = options.get<std::vector<T>>(name);
  return {values[0], values[1], values[2]};
}

class Segmentation : public Task {
 public:
  Segmentation(const Options& options, const Context& context)
      : dice_weight_(options.get<double>("dice_weight")),
        ce_weight_(options.get<double>("ce_weight")),
        smooth_(options.get<double>("smooth")),
        balanced_(options.get<bool>("balanced")),
        spacing_(triple<double>(options, "spacing")),
        window_{.roi = triple<int64_t>(options, "roi"),
                .overlap = options.get<double>("overlap"),
                .gaussian = options.get<std::string>("mode") == "gaussian",
                .at_once = options.get<int64_t>("windows_at_once"),
                .pad_by_border = true},  // as the loader pads cubes
        classes_(context.classes),
        volume_names_(context.volume_names) {
    IVORY_CHECK(!classes_.empty(), "task segmentation: at least one class is needed, none is declared");
    IVORY_CHECK(context.model, "task segmentation: a model is needed, there is none");
    Model& model = *context.model;
    kind_ = model.width(SampleKind::slice) > 0 ? SampleKind::slice : SampleKind::volume;
    if (model.dense_width() > 0) {
      continue_decoder(context.model);
    } else {
      add_decoder(model.encoder(kind_), options.get<std::vector<int64_t>>("decoder_channels"));
    }
  }

  TaskNeeds needs() const override {
    TaskNeeds needs{.unit = kind_, .target = Target::masks, .balanced = balanced_};
    if (kind_ == SampleKind::volume) {
      needs.cubes =
          VolumeViewSpec{.count = 1, .extent = VolumeViewSpec::Extent::cube, .size = window_.roi, .spacing = spacing_};
    }
    return needs;
  }

  torch::Tensor loss(const TaskBatch& batch) override {
    auto logits = network_(batch.images.pixels);  // [B, 1 + C, H, W] or [B, 1 + C, D, H, W]
    if (logits.scalar_type() != torch::kFloat64) logits = logits.to(torch::kFloat32);
    auto total = ce_weight_ * torch::nn::functional::cross_entropy(logits, batch.masks);
    if (dice_weight_ > 0) total = total + dice_weight_ * dice_loss(logits, batch.masks);
    return total;
  }

  void evaluate(const TaskBatch& batch) override {
    const auto predicted = predict(batch.images.pixels);  // [B, H, W] or [B, D, H, W]
    const auto expected = batch.masks.to(torch::kCPU);
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

  void add_decoder(std::shared_ptr<Backbone> encoder, const std::vector<int64_t>& channels) {
    IVORY_CHECK(encoder, "task segmentation: a backbone of slices or of volumes is needed, the model has none");
    const auto net = std::make_shared<nn::UNet>(std::move(encoder), channels, class_count() + 1);
    // The parts themselves are registered, so that the state has the names of segmentation_models_pytorch.
    register_module("encoder", net->encoder);
    register_module("decoder", net->decoder);
    register_module("segmentation_head", net->segmentation_head);
    network_ = [net](const torch::Tensor& x) { return net->forward(x); };
  }

  void continue_decoder(std::shared_ptr<Model> model) {
    for (const auto& part : model->parts()) register_module(part, model->part(part));
    const auto encoder = model->encoder(kind_);
    const std::array<int64_t, 3> stride = encoder ? encoder->info().levels.back().stride : Level{}.stride;
    if (const auto whole = std::dynamic_pointer_cast<nn::OwnDecoder>(model)) {
      const auto own = register_module(whole->head_name(), whole->head(class_count() + 1));
      network_ = [whole, own, stride](const torch::Tensor& input) {
        return nn::within_stride(input, stride,
                                 [&](const torch::Tensor& x) { return whole->logits(whole->embed(x), *own); });
      };
      return;
    }
    auto head = register_module("segmentation_head", nn::segmentation_head(model->dense_width(), class_count() + 1,
                                                                           kind_ == SampleKind::volume));
    network_ = [model, head, stride](const torch::Tensor& input) mutable {
      return nn::within_stride(input, stride,
                               [&](const torch::Tensor& x) { return head->forward(model->decode(model->embed(x))); });
    };
  }

  torch::Tensor dice_loss(const torch::Tensor& logits, const torch::Tensor& masks) const {
    const auto probabilities = logits.softmax(1);
    std::vector<torch::Tensor> losses, present;
    for (int64_t c = 1; c <= class_count(); ++c) {
      const auto p = probabilities.select(1, c);  // the masks' shape
      const auto t = (masks == c).to(p.scalar_type());
      const auto size = t.sum();
      losses.push_back(1 - (2 * (p * t).sum() + smooth_) / (p.sum() + size + smooth_));
      present.push_back((size > 0).to(p.scalar_type()));
    }
    const auto weights = torch::stack(present);  // [C]
    return (torch::stack(losses) * weights).sum() / weights.sum().clamp_min(1);
  }

  // Class of every pixel or voxel, on the CPU, in evaluation mode whatever the mode is now.
  torch::Tensor predict(const torch::Tensor& images) {
    const torch::NoGradGuard no_grad;
    const nn::EvalMode evaluating(*this);
    if (kind_ == SampleKind::slice) return network_(images).argmax(1).to(torch::kCPU);
    auto classes = torch::empty({images.size(0), images.size(2), images.size(3), images.size(4)}, torch::kInt16);
    for (int64_t i = 0; i < images.size(0); ++i) {
      nn::sliding_window(images.narrow(0, i, 1), window_, network_, [&](int64_t first, const torch::Tensor& logits) {
        classes[i].narrow(0, first, logits.size(2)).copy_(logits.argmax(1)[0]);
      });
    }
    return classes;
  }

  std::string volume_name(int64_t id) const {
    return id < static_cast<int64_t>(volume_names_.size()) ? volume_names_[id] : "volume " + std::to_string(id);
  }

  double dice_weight_, ce_weight_, smooth_;
  bool balanced_;
  std::array<double, 3> spacing_;
  nn::SlidingWindow window_;  // of cubes
  std::vector<std::string> classes_, volume_names_;
  SampleKind kind_ = SampleKind::slice;
  nn::WindowNetwork network_;                         // images or cubes → logits
  std::map<int64_t, std::vector<Overlap>> overlaps_;  // by volume id, then class
};

Scores Segmentation::scores() {
  IVORY_CHECK(!overlaps_.empty(), "task segmentation: the split has no ",
              kind_ == SampleKind::slice ? "slices" : "volumes", " to score");
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

// The slices with the most target, of a volume its slice with the most; each as image | truth | prediction.
std::vector<Picture> Segmentation::pictures(const TaskBatch& batch, int64_t limit) {
  auto images = batch.images.pixels;
  auto predicted = predict(images), expected = batch.masks.to(torch::kCPU), position = batch.position;
  if (kind_ == SampleKind::volume) {
    position = (expected > 0).sum({2, 3}).argmax(1);  // [B]
    const auto samples = torch::arange(batch.size());
    const auto slice_of = [&](const torch::Tensor& volumes) { return volumes.index({samples, position}); };
    images = slice_of(images.select(1, 0).to(torch::kCPU)).unsqueeze(1);
    predicted = slice_of(predicted);
    expected = slice_of(expected);
  }
  const auto order = (expected > 0).sum({1, 2}).argsort(/*stable=*/true, /*dim=*/0, /*descending=*/true);
  std::vector<Picture> result;
  for (int64_t k = 0; k < std::min(limit, batch.size()); ++k) {
    const auto i = order[k].item<int64_t>();
    const auto image = panels::grey(images[i][0]);
    const auto classes = [&](const torch::Tensor& of) { return panels::with_classes(image, of[i], class_count()); };
    result.push_back({volume_name(batch.volume[i].item<int64_t>()) + ", slice " +
                          std::to_string(position[i].item<int64_t>()) + ": image, truth, prediction (" +
                          panels::legend(classes_) + ")",
                      panels::row({image, classes(expected), classes(predicted)}, /*gap=*/4)});
  }
  return result;
}

std::vector<Option> options() {
  const std::string source = "method.md §7", windows = "networks_tasks.md §1.9";
  return {
      nn::decoder_channels_option(),
      {.name = "dice_weight", .fallback = 1.0, .help = "Weight of the soft Dice loss.", .minimum = 0, .source = source},
      {.name = "ce_weight", .fallback = 1.0, .help = "Weight of the cross-entropy.", .minimum = 0, .source = source},
      {.name = "smooth",
       .fallback = 1.0,
       .help = "Added to numerator and denominator of the soft Dice.",
       .minimum = 0,
       .unit = "pixels"},
      {.name = "balanced",
       .fallback = true,
       .help = "Draw training slices, or cubes, with and without target 1:1.",
       .source = source},
      {.name = "roi",
       .fallback = std::vector<int64_t>{96, 96, 96},
       .help = "Cubes in training and windows in evaluation: slices, rows, columns.",
       .minimum = 1,
       .unit = "voxels",
       .source = windows,
       .added_later = true},
      {.name = "spacing",
       .fallback = std::vector<double>{0, 0, 0},
       .help = "Spacing of cubes along slices, rows and columns; 0 keeps the volume's own.",
       .minimum = 0,
       .unit = "mm",
       .source = windows,
       .added_later = true},
      {.name = "overlap",
       .fallback = 0.5,
       .help = "Overlap of neighbouring windows in evaluation.",
       .minimum = 0,
       .maximum = 0.99,
       .source = windows,
       .added_later = true},
      {.name = "mode",
       .fallback = std::string("gaussian"),
       .help = "Weights of a window's voxels where windows overlap.",
       .choices = {"constant", "gaussian"},
       .source = windows,
       .added_later = true},
      {.name = "windows_at_once",
       .fallback = int64_t{4},
       .help = "Windows that the network gets together in evaluation.",
       .minimum = 1,
       .added_later = true}};
}

std::string check(const Options& options) {
  if (options.get<double>("dice_weight") == 0 && options.get<double>("ce_weight") == 0) {
    return "dice_weight and ce_weight are both 0: nothing would be trained; set one above 0";
  }
  if (options.get<std::vector<int64_t>>("roi").size() != 3) return "roi needs three numbers: slices, rows, columns";
  if (options.get<std::vector<double>>("spacing").size() != 3)
    return "spacing needs three numbers: slices, rows, columns";
  return "";
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(Descriptor<Task>{
      .name = "segmentation",
      .summary = "U-Net on the model's encoder, of slices or of cubes, merged to volumes, scored by 3D IoU and Dice.",
      .source = "Nguyen et al., AAAI 2023; Ronneberger et al., MICCAI 2015",
      .options = options(),
      .check = check,
      .create = [](const Options& options, const Task::Context& context) -> std::shared_ptr<Task> {
        return std::make_shared<Segmentation>(options, context);
      }});
}
