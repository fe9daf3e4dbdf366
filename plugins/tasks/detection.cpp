// Detection of findings by Faster R-CNN with a feature pyramid on the model's encoder of slices (method.md §7,
// networks_tasks.md §2), scored by COCO's average precision.
//
//   L = objectness + proposals' boxes + classes + boxes, each as in Ren et al., NIPS 2015
//
// Samples are whole images at Context::size; boxes are scored at that size, where overlaps are what they are in the
// original, both being scaled alike.

#include <ivory/detection_metrics.h>
#include <ivory/nn/eval_mode.h>
#include <ivory/nn/faster_rcnn.h>
#include <ivory/panels.h>
#include <ivory/plugin.h>

#include <algorithm>
#include <cmath>

namespace {

using namespace ivory;
using Variant = nn::FasterRcnnOptions::Variant;

constexpr std::array<int64_t, 3> green = {0, 158, 115}, red = {213, 94, 0};

PrecisionKind kind_named(const std::string& name) {
  return name == "coco" ? PrecisionKind::coco : name == "area" ? PrecisionKind::area : PrecisionKind::voc11;
}

class Detection : public Task {
 public:
  Detection(const Options& options, const Context& context)
      : repeat_below_(options.get<double>("repeat_below")),
        shown_score_(options.get<double>("shown_score")),
        kind_(kind_named(options.get<std::string>("precision"))),
        classes_(context.classes),
        volume_names_(context.volume_names) {
    IVORY_CHECK(!classes_.empty(), "task detection: at least one class is needed, none is declared");
    IVORY_CHECK(context.model && context.model->encoder(SampleKind::slice),
                "task detection: a backbone of slices is needed, the model has none");
    auto settings = nn::FasterRcnnOptions::of(
        options.get<std::string>("variant") == "mmdetection" ? Variant::mmdetection : Variant::torchvision);
    settings.classes = class_count();
    settings.width = options.get<int64_t>("width");
    settings.head_width = options.get<int64_t>("head_width");
    settings.anchor_size = options.get<double>("anchor_size");
    settings.ratios = options.get<std::vector<double>>("anchor_ratios");
    settings.frozen_norm = options.get<bool>("frozen_norm");
    settings.frozen_levels = options.get<int64_t>("frozen_levels");
    settings.least_score = options.get<double>("least_score");
    settings.most_results = options.get<int64_t>("most_results");
    body_ = context.model->encoder(SampleKind::slice);
    frozen_norm_ = settings.frozen_norm;
    network_ = std::make_shared<nn::FasterRcnn>(body_, settings);
    // The parts themselves are registered, so that the state has the names of the variant's reference.
    for (const auto& part : network_->named_children()) register_module(part.key(), part.value());
    begin_scores();
  }

  TaskNeeds needs() const override {
    return {.unit = SampleKind::slice, .target = Target::boxes, .repeat_below = repeat_below_};
  }

  void train(bool on = true) override {
    torch::nn::Module::train(on);
    network_->train(on);  // it leaves frozen normalisation in evaluation mode
  }

  torch::Tensor loss(const TaskBatch& batch) override {
    if (frozen_norm_ && !checked_) check_statistics();
    const auto losses = network_->losses(batch.images.pixels, batch.boxes);
    const auto total = losses.sum();
    if (!total.isfinite().item<bool>()) throw_not_finite(losses);
    return total;
  }

  void evaluate(const TaskBatch& batch) override {
    const auto found = detect(batch.images.pixels);
    for (size_t i = 0; i < found.size(); ++i) {
      precision_->add(found[i], batch.boxes[i]);
      AveragePrecision alone(class_count(), {.thresholds = {0.5}, .kind = kind_});
      alone.add(found[i], batch.boxes[i]);
      std::vector<double> of_classes;
      for (const auto& values : alone.values()) of_classes.push_back(values[0]);
      boxes_ += batch.boxes[i].classes.numel();
      without_ += batch.boxes[i].classes.numel() == 0 ? 1 : 0;
      const double value = mean_defined(of_classes);
      const auto volume = batch.volume[static_cast<int64_t>(i)].item<int64_t>();
      if (!std::isnan(value)) cases_.emplace_back(volume_name(volume), value);
      ++images_;
    }
  }

  Scores scores() override;
  std::vector<Picture> pictures(const TaskBatch& batch, int64_t limit) override;

 private:
  int64_t class_count() const { return static_cast<int64_t>(classes_.size()); }
  std::string volume_name(int64_t id) const {
    return id < static_cast<int64_t>(volume_names_.size()) ? volume_names_[id] : "volume " + std::to_string(id);
  }

  // On the CPU, in evaluation mode whatever the mode is now.
  std::vector<Detections> detect(const torch::Tensor& images) {
    const torch::NoGradGuard no_grad;
    const nn::EvalMode evaluating(*network_);
    auto found = network_->detect(images);
    for (auto& one : found) {
      one.corners = one.corners.to(torch::kCPU);
      one.classes = one.classes.to(torch::kCPU);
      one.scores = one.scores.to(torch::kCPU);
    }
    return found;
  }

  void begin_scores() {
    precision_ = std::make_unique<AveragePrecision>(class_count(),
                                                    PrecisionOptions{.thresholds = coco_thresholds(), .kind = kind_});
    images_ = boxes_ = without_ = 0;
    cases_.clear();
  }

  // Frozen statistics that were never trained are no normalisation at all.
  void check_statistics() {
    checked_ = true;
    for (const auto& buffer : body_->named_buffers()) {
      if (!buffer.key().ends_with("running_var")) continue;
      if ((buffer.value() != 1).any().item<bool>()) return;
    }
    throw bad_request(
        "task detection: frozen_norm is on, but the backbone's normalisation has no trained statistics; begin with "
        "pre-trained weights, or set frozen_norm = false and frozen_levels = 0");
  }

  [[noreturn]] static void throw_not_finite(const nn::DetectionLosses& losses) {
    std::string terms;
    const auto name = [&](const torch::Tensor& loss, const char* term) {
      if (!loss.isfinite().item<bool>()) terms += (terms.empty() ? "'" : ", '") + std::string(term) + "'";
    };
    name(losses.objectness, "objectness");
    name(losses.proposal_box, "proposals' boxes");
    name(losses.classifier, "classes");
    name(losses.box, "boxes");
    throw run_failed("task detection: the loss of ", terms.empty() ? "all terms together" : terms,
                     " is not finite; a smaller learning rate or a longer warm-up helps (0.0025 for a batch of 2)");
  }

  double repeat_below_, shown_score_;
  PrecisionKind kind_;
  std::vector<std::string> classes_, volume_names_;
  std::shared_ptr<Backbone> body_;
  std::shared_ptr<nn::FasterRcnn> network_;
  bool frozen_norm_ = true, checked_ = false;
  std::unique_ptr<AveragePrecision> precision_;
  std::vector<std::pair<std::string, double>> cases_;
  int64_t images_ = 0, boxes_ = 0, without_ = 0;
};

Scores Detection::scores() {
  IVORY_CHECK(images_ > 0, "task detection: the split has no images to score");
  IVORY_CHECK(boxes_ > 0, "task detection: none of the split's ", images_,
              " images has a box, so that no precision is defined; a split needs images with boxes");
  Scores result;
  std::vector<double> half, all;
  const auto values = precision_->values();
  for (size_t c = 0; c < values.size(); ++c) {
    half.push_back(values[c][0]);
    all.push_back(mean_defined(values[c]));
    result.counts.emplace_back("boxes of " + classes_[c], precision_->truths(static_cast<int64_t>(c) + 1));
  }
  result.values = {{"ap50", mean_defined(half)}, {"ap", mean_defined(all)}};
  for (size_t c = 0; c < values.size(); ++c) {
    if (std::isnan(half[c])) continue;  // no box of it
    result.values.push_back({"ap50/" + classes_[c], half[c]});
    result.values.push_back({"ap/" + classes_[c], all[c]});
  }
  result.counts.emplace_back("images", images_);
  result.counts.emplace_back("images without boxes", without_);
  result.cases = cases_;
  begin_scores();
  return result;
}

// A rectangle's outline, a pixel wide, on a picture [3, H, W].
void draw(torch::Tensor& picture, const torch::Tensor& corners, const std::array<int64_t, 3>& colour) {
  const auto at = [&](int64_t i, int64_t length) {
    return std::clamp<int64_t>(std::lround(corners[i].item<double>() - (i > 1 ? 1 : 0)), 0, length - 1);
  };
  const int64_t left = at(0, picture.size(2)), top = at(1, picture.size(1)), right = at(2, picture.size(2)),
                bottom = at(3, picture.size(1));
  if (right < left || bottom < top) return;
  for (int64_t channel = 0; channel < 3; ++channel) {
    const auto value = colour[static_cast<size_t>(channel)];
    auto plane = picture[channel];
    plane[top].slice(0, left, right + 1).fill_(value);
    plane[bottom].slice(0, left, right + 1).fill_(value);
    plane.slice(0, top, bottom + 1).select(1, left).fill_(value);
    plane.slice(0, top, bottom + 1).select(1, right).fill_(value);
  }
}

std::vector<Picture> Detection::pictures(const TaskBatch& batch, int64_t limit) {
  const auto found = detect(batch.images.pixels);
  std::vector<Picture> result;
  for (int64_t i = 0; i < std::min(limit, batch.size()); ++i) {
    const auto image = panels::grey(batch.images.pixels[i][0]);
    auto truth = image.clone(), prediction = image.clone();
    const auto& boxes = batch.boxes[static_cast<size_t>(i)];
    const auto& one = found[static_cast<size_t>(i)];
    for (int64_t k = 0; k < boxes.classes.numel(); ++k) draw(truth, boxes.corners[k], green);
    for (int64_t k = 0; k < one.classes.numel(); ++k)
      if (one.scores[k].item<double>() >= shown_score_) draw(prediction, one.corners[k], red);
    result.push_back({volume_name(batch.volume[i].item<int64_t>()) + ": image, truth (green), prediction (red)",
                      panels::row({image, truth, prediction}, /*gap=*/4)});
  }
  return result;
}

std::vector<Option> options() {
  const std::string source = "networks_tasks.md §2";
  return {{.name = "variant",
           .fallback = std::string("torchvision"),
           .help = "Whose anchors, losses, RoIAlign, matching and parameter names: torchvision's or MMDetection's.",
           .choices = {"torchvision", "mmdetection"},
           .source = source},
          {.name = "width",
           .fallback = int64_t{256},
           .help = "Channels of the pyramid.",
           .minimum = 8,
           .maximum = 1024,
           .unit = "channels",
           .source = source},
          {.name = "head_width",
           .fallback = int64_t{1024},
           .help = "Width of the two fully connected layers.",
           .minimum = 8,
           .maximum = 8192,
           .unit = "channels",
           .source = source},
          {.name = "anchor_size",
           .fallback = 32.0,
           .help = "Side of the anchors at the finest level; twice that at each further one.",
           .minimum = 1,
           .maximum = 512,
           .unit = "pixels",
           .source = source},
          {.name = "anchor_ratios",
           .fallback = std::vector<double>{0.5, 1, 2},
           .help = "Height over width of the anchors.",
           .minimum = 0.05,
           .maximum = 20,
           .source = source},
          {.name = "frozen_norm",
           .fallback = true,
           .help = "The backbone's batch normalisation keeps its statistics: right for pre-trained weights and small "
                   "batches, wrong from scratch.",
           .source = source},
          {.name = "frozen_levels",
           .fallback = int64_t{2},
           .help = "Levels of a ResNet that do not train, from the stem on: 2 are the stem and layer1.",
           .minimum = 0,
           .maximum = 5,
           .source = source},
          {.name = "repeat_below",
           .fallback = 0.0,
           .help = "Images with a class that fewer than this share of images have come several times an epoch: 0.4 for "
                   "VinDr-CXR; 0 is off.",
           .minimum = 0,
           .maximum = 1,
           .source = source},
          {.name = "least_score",
           .fallback = 0.05,
           .help = "Boxes below this score are dropped.",
           .minimum = 0,
           .maximum = 1,
           .source = source},
          {.name = "most_results",
           .fallback = int64_t{100},
           .help = "Boxes of an image that are kept.",
           .minimum = 1,
           .maximum = 10000,
           .source = source},
          {.name = "precision",
           .fallback = std::string("coco"),
           .help = "Average precision as COCO has it (101 recalls), the area under the curve, or VOC's 11 recalls.",
           .choices = {"coco", "area", "voc11"},
           .source = source},
          {.name = "shown_score",
           .fallback = 0.5,
           .help = "Least score of boxes in pictures.",
           .minimum = 0,
           .maximum = 1}};
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(Descriptor<Task>{
      .name = "detection",
      .summary = "Faster R-CNN with a feature pyramid on the model's encoder, scored by average precision.",
      .source = "Ren et al., NIPS 2015; Lin et al., CVPR 2017",
      .options = options(),
      .create = [](const Options& options, const Task::Context& context) -> std::shared_ptr<Task> {
        return std::make_shared<Detection>(options, context);
      }});
}
