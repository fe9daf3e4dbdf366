// Segmentation by a U-Net on the model's encoder, or by the model's own decoder (and head, where the network brings
// both), merged to volumes for the score (method.md §7): of slices, in 2D, where the model takes slices, else of cubes,
// in 3D.
//
//   L = dice_weight · (1 − mean_c (2 Σ p_c t_c + s) / (Σ p_c + Σ t_c + s)) + ce_weight · CE
//
// With `activation = "sigmoid"` classes may overlap, as JSRT's organs do: p is a sigmoid of each class, and the binary
// cross-entropy, a mean over pixels and classes, is in the place of CE. Else p is the softmax. t is the truth as 0 or
// 1, s `smooth`. Sums run over all voxels of the batch; c over the foreground classes that the batch's truth has: the
// Dice of an absent class is next to 0 whatever is predicted, so that class is left to the cross-entropy.
//
// Slices: scores are on the loader's grid (Context::size), summed over all slices of a volume. Cubes: whole volumes are
// predicted in overlapping windows (networks_tasks.md §1.9), the scores are on the grid of the cubes' spacing.
//
// With `surface` there are distances between surfaces too, in mm on the same grid (networks_tasks.md §3): means over
// the volumes that have the class in truth and prediction; the others are counted.

#include <ivory/metrics.h>
#include <ivory/nn/eval_mode.h>
#include <ivory/nn/own_decoder.h>
#include <ivory/nn/sliding_window.h>
#include <ivory/nn/unet.h>
#include <ivory/panels.h>
#include <ivory/plugin.h>
#include <ivory/surface_metrics.h>

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
        overlapping_(options.get<std::string>("activation") == "sigmoid"),
        surface_(options.get<std::string>("surface")),
        tolerance_(options.get<double>("tolerance")),
        spacing_(triple<double>(options, "spacing")),
        window_{.roi = triple<int64_t>(options, "roi"),
                .overlap = options.get<double>("overlap"),
                .gaussian = options.get<std::string>("mode") == "gaussian",
                .at_once = options.get<int64_t>("windows_at_once"),
                .pad_by_border = true},  // as the loader pads cubes
        classes_(context.classes),
        volume_names_(context.volume_names),
        spacings_(context.spacings) {
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
    TaskNeeds needs{.unit = kind_, .target = Target::masks, .balanced = balanced_, .overlapping = overlapping_};
    if (kind_ == SampleKind::volume) {
      needs.cubes =
          VolumeViewSpec{.count = 1, .extent = VolumeViewSpec::Extent::cube, .size = window_.roi, .spacing = spacing_};
    }
    return needs;
  }

  torch::Tensor loss(const TaskBatch& batch) override {
    auto logits = network_(batch.images.pixels);  // [B, 1 + C, H, W] or [B, 1 + C, D, H, W]
    if (logits.scalar_type() != torch::kFloat64) logits = logits.to(torch::kFloat32);
    auto total = ce_weight_ * cross_entropy(logits, batch.masks);
    if (dice_weight_ > 0) total = total + dice_weight_ * dice_loss(logits, batch.masks);
    return total;
  }

  void evaluate(const TaskBatch& batch) override {
    const auto predicted = predict(batch.images.pixels);  // [B, H, W] or [B, D, H, W]
    const auto expected = batch.masks.to(torch::kCPU);
    for (int64_t i = 0; i < batch.size(); ++i) {
      const auto volume = batch.volume[i].item<int64_t>();
      auto& overlaps = overlaps_[volume];
      overlaps.resize(classes_.size());
      for (int64_t c = 1; c <= class_count(); ++c)
        overlaps[static_cast<size_t>(c - 1)].add(of_class(predicted[i], c), of_class(expected[i], c));
      if (surface_ == "none") continue;
      if (kind_ == SampleKind::volume) {
        measure_surfaces(predicted[i], expected[i], spacing_of(batch.images.place[i]));
      } else {
        slices_[volume][batch.position[i].item<int64_t>()] = {predicted[i].to(torch::kInt32),
                                                              expected[i].to(torch::kInt32)};
      }
    }
  }

  Scores scores() override;
  std::vector<Picture> pictures(const TaskBatch& batch, int64_t limit) override;

 private:
  int64_t class_count() const { return static_cast<int64_t>(classes_.size()); }
  int64_t output_count() const { return class_count() + (overlapping_ ? 0 : 1); }

  // Where a mask has class c, from 1.
  torch::Tensor of_class(const torch::Tensor& mask, int64_t c) const {
    return overlapping_ ? mask.bitwise_and(int64_t{1} << (c - 1)) != 0 : mask == c;
  }
  // [B, outputs, …] → [B, classes, …]
  torch::Tensor probabilities(const torch::Tensor& logits) const {
    return overlapping_ ? logits.sigmoid() : logits.softmax(1).slice(1, 1);
  }
  torch::Tensor cross_entropy(const torch::Tensor& logits, const torch::Tensor& masks) const {
    if (!overlapping_) return torch::nn::functional::cross_entropy(logits, masks);
    std::vector<torch::Tensor> truth;
    for (int64_t c = 1; c <= class_count(); ++c) truth.push_back(of_class(masks, c).to(logits.scalar_type()));
    return torch::binary_cross_entropy_with_logits(logits, torch::stack(truth, 1));
  }
  // [B, outputs, …] → masks [B, …]
  torch::Tensor decided(const torch::Tensor& logits) const {
    if (!overlapping_) return logits.argmax(1);
    auto mask = torch::zeros_like(logits.select(1, 0), torch::kInt64);
    for (int64_t c = 1; c <= class_count(); ++c)
      mask += (logits.select(1, c - 1) > 0).to(torch::kInt64) * (int64_t{1} << (c - 1));
    return mask;
  }
  // One class a pixel, of several the last one: for pictures.
  torch::Tensor shown(const torch::Tensor& masks) const {
    auto classes = torch::zeros_like(masks);
    for (int64_t c = 1; c <= class_count(); ++c) classes.masked_fill_(of_class(masks, c), c);
    return classes;
  }

  void add_decoder(std::shared_ptr<Backbone> encoder, const std::vector<int64_t>& channels) {
    IVORY_CHECK(encoder, "task segmentation: a backbone of slices or of volumes is needed, the model has none");
    const auto net = std::make_shared<nn::UNet>(std::move(encoder), channels, output_count());
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
      const auto own = register_module(whole->head_name(), whole->head(output_count()));
      network_ = [whole, own, stride](const torch::Tensor& input) {
        return nn::within_stride(input, stride,
                                 [&](const torch::Tensor& x) { return whole->logits(whole->embed(x), *own); });
      };
      return;
    }
    auto head = register_module(
        "segmentation_head", nn::segmentation_head(model->dense_width(), output_count(), kind_ == SampleKind::volume));
    network_ = [model, head, stride](const torch::Tensor& input) mutable {
      return nn::within_stride(input, stride,
                               [&](const torch::Tensor& x) { return head->forward(model->decode(model->embed(x))); });
    };
  }

  torch::Tensor dice_loss(const torch::Tensor& logits, const torch::Tensor& masks) const {
    const auto predicted = probabilities(logits);
    std::vector<torch::Tensor> losses, present;
    for (int64_t c = 1; c <= class_count(); ++c) {
      const auto p = predicted.select(1, c - 1);  // the masks' shape
      const auto t = of_class(masks, c).to(p.scalar_type());
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
    if (kind_ == SampleKind::slice) return decided(network_(images)).to(torch::kCPU);
    auto classes = torch::empty({images.size(0), images.size(2), images.size(3), images.size(4)}, torch::kInt32);
    for (int64_t i = 0; i < images.size(0); ++i) {
      nn::sliding_window(images.narrow(0, i, 1), window_, network_, [&](int64_t first, const torch::Tensor& logits) {
        classes[i].narrow(0, first, logits.size(2)).copy_(decided(logits)[0]);
      });
    }
    return classes;
  }

  // mm between the voxels of a sample that lies at `place` [3, 4].
  static std::array<double, 3> spacing_of(const torch::Tensor& place) {
    const auto columns = place.slice(1, 0, 3).square().sum(0).sqrt();
    return {columns[0].item<double>(), columns[1].item<double>(), columns[2].item<double>()};
  }
  void measure_surfaces(const torch::Tensor& predicted, const torch::Tensor& expected,
                        const std::array<double, 3>& spacing);
  void measure_slices();
  void add_surfaces(Scores& result);

  std::string volume_name(int64_t id) const {
    return id < static_cast<int64_t>(volume_names_.size()) ? volume_names_[id] : "volume " + std::to_string(id);
  }

  double dice_weight_, ce_weight_, smooth_;
  bool balanced_, overlapping_;
  std::string surface_;
  double tolerance_;  // mm
  std::array<double, 3> spacing_;
  nn::SlidingWindow window_;  // of cubes
  std::vector<std::string> classes_, volume_names_;
  std::vector<std::array<double, 3>> spacings_;  // by volume id, of slices
  SampleKind kind_ = SampleKind::slice;
  nn::WindowNetwork network_;                         // images or cubes → logits
  std::map<int64_t, std::vector<Overlap>> overlaps_;  // by volume id, then class

  struct Surfaces {
    double hd95 = 0, nsd = 0;  // sums over `measured` volumes
    int64_t measured = 0, without_truth = 0, without_prediction = 0, without_both = 0;
  };
  struct Masks {
    torch::Tensor predicted, expected;
  };
  std::vector<Surfaces> surfaces_;                      // by class
  std::map<int64_t, std::map<int64_t, Masks>> slices_;  // by volume id, then position
};

void Segmentation::measure_surfaces(const torch::Tensor& predicted, const torch::Tensor& expected,
                                    const std::array<double, 3>& spacing) {
  const auto kind = surface_ == "elements" ? SurfaceKind::elements : SurfaceKind::voxels;
  surfaces_.resize(classes_.size());
  for (int64_t c = 1; c <= class_count(); ++c) {
    Surfaces& of = surfaces_[static_cast<size_t>(c - 1)];
    const auto found = surface_distances(of_class(predicted, c), of_class(expected, c), spacing, kind);
    if (found.both_empty()) {
      ++of.without_both;
    } else if (found.one_empty()) {
      ++(found.from_truth.distance.empty() ? of.without_truth : of.without_prediction);
    } else {
      ++of.measured;
      of.hd95 += hausdorff_distance(found, 0.95);
      of.nsd += surface_dice(found, tolerance_);
    }
  }
}

// A volume of one slice is a plane.
void Segmentation::measure_slices() {
  for (const auto& [volume, slices] : slices_) {
    std::vector<torch::Tensor> predicted, expected;
    for (const auto& [position, masks] : slices) {
      predicted.push_back(masks.predicted);
      expected.push_back(masks.expected);
    }
    const bool known = volume < static_cast<int64_t>(spacings_.size());
    const auto spacing = known ? spacings_[static_cast<size_t>(volume)] : std::array<double, 3>{1, 1, 1};
    if (slices.size() == 1) {
      measure_surfaces(predicted.front(), expected.front(), spacing);
    } else {
      measure_surfaces(torch::stack(predicted), torch::stack(expected), spacing);
    }
  }
  slices_.clear();
}

void Segmentation::add_surfaces(Scores& result) {
  if (surface_ == "none") return;
  measure_slices();
  std::vector<Score> of_classes;
  double hd95 = 0, nsd = 0, classes = 0;
  int64_t truth = 0, prediction = 0, both = 0;
  for (size_t c = 0; c < surfaces_.size(); ++c) {
    const Surfaces& of = surfaces_[c];
    truth += of.without_truth, prediction += of.without_prediction, both += of.without_both;
    if (of.measured == 0) continue;
    const auto count = static_cast<double>(of.measured);
    of_classes.push_back({"hd95/" + classes_[c], of.hd95 / count});
    of_classes.push_back({"nsd/" + classes_[c], of.nsd / count});
    hd95 += of.hd95 / count, nsd += of.nsd / count, classes += 1;
  }
  if (classes > 0) {
    result.values.push_back({"hd95", hd95 / classes});
    result.values.push_back({"nsd", nsd / classes});
    result.values.insert(result.values.end(), of_classes.begin(), of_classes.end());
  }
  result.counts.emplace_back("no surface in truth and prediction", both);
  result.counts.emplace_back("no surface in truth", truth);
  result.counts.emplace_back("no surface in prediction", prediction);
  surfaces_.clear();
}

Scores Segmentation::scores() {
  IVORY_CHECK(!overlaps_.empty(), "task segmentation: the split has no ",
              kind_ == SampleKind::slice ? "slices" : "volumes", " to score");
  Scores result;
  std::vector<double> iou(classes_.size(), 0), dice(classes_.size(), 0);  // means over volumes
  std::vector<std::vector<double>> volume_error(classes_.size());         // of volumes with truth
  int64_t empty = 0, empty_but_predicted = 0;
  const auto volumes = static_cast<double>(overlaps_.size());
  for (const auto& [volume, overlaps] : overlaps_) {
    double sum = 0;
    for (size_t c = 0; c < overlaps.size(); ++c) {
      iou[c] += overlaps[c].iou() / volumes;
      dice[c] += overlaps[c].dice() / volumes;
      sum += overlaps[c].iou();
      if (overlaps[c].truth > 0) volume_error[c].push_back(overlaps[c].volume_error());
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
  for (size_t c = 0; c < classes_.size(); ++c)
    if (!volume_error[c].empty()) result.values.push_back({"volume error/" + classes_[c], mean(volume_error[c])});
  result.counts = {{"volumes", static_cast<int64_t>(overlaps_.size())},
                   {"empty ground truth", empty + empty_but_predicted},
                   {"empty ground truth with a prediction", empty_but_predicted}};
  add_surfaces(result);
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
  if (overlapping_) predicted = shown(predicted), expected = shown(expected);
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
      {.name = "activation",
       .fallback = std::string("softmax"),
       .help = "'softmax': a pixel has one class; 'sigmoid': any of them, with binary cross-entropy. Classes may then "
               "share labels.",
       .choices = {"softmax", "sigmoid"},
       .source = source,
       .added_later = true},
      {.name = "surface",
       .fallback = std::string("none"),
       .help = "Scores of surfaces, HD95 and NSD: of the masks' edge voxels, as MONAI, or of surface elements, as "
               "DeepMind.",
       .choices = {"none", "voxels", "elements"},
       .source = "networks_tasks.md §3",
       .added_later = true},
      {.name = "tolerance",
       .fallback = 1.0,
       .help = "Of the normalised surface distance.",
       .minimum = 0,
       .unit = "mm",
       .source = "networks_tasks.md §3",
       .added_later = true},
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
