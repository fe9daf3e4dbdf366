#include <ivory/error.h>
#include <ivory/nn/faster_rcnn.h>

#include <algorithm>

#include "nn/faster_rcnn_parts.h"

namespace ivory::nn {

using torch::Tensor;
using Variant = FasterRcnnOptions::Variant;

namespace {

constexpr size_t levels_used = 4;  // layer1 … layer4

BoxCoder coder(const FasterRcnnOptions& options, bool head) {
  return {.weights = head ? std::array<double, 4>{10, 10, 5, 5} : std::array<double, 4>{1, 1, 1, 1},
          .least = options.variant == Variant::mmdetection};
}

std::vector<int64_t> widths_of(const BackboneInfo& info) {
  IVORY_CHECK(info.input == Input::image && info.levels.size() >= levels_used,
              "Faster R-CNN: a backbone of images with at least 4 levels is needed, got one with ", info.levels.size());
  std::vector<int64_t> widths;
  for (const Level& level : std::span(info.levels).last(levels_used)) widths.push_back(level.width);
  return widths;
}

// The modules above the body, by dots: "roi_heads.box_head".
void place(torch::nn::Module& below, const std::string& name, const std::shared_ptr<torch::nn::Module>& module) {
  const auto dot = name.find('.');
  if (dot == std::string::npos) {
    below.register_module(name, module);
    return;
  }
  const std::string first = name.substr(0, dot);
  const auto children = below.named_children();
  const auto* known = children.find(first);
  place(known ? **known : *below.register_module(first, std::make_shared<torch::nn::Module>(first)),
        name.substr(dot + 1), module);
}

bool is_norm(const torch::nn::Module& module) {
  return module.as<torch::nn::BatchNorm2d>() != nullptr;
}

// Names of a ResNet's levels, from the stem on.
const std::vector<std::vector<std::string>> level_names = {
    {"conv1.", "bn1."}, {"layer1."}, {"layer2."}, {"layer3."}, {"layer4."}};

void freeze(torch::nn::Module& body, const FasterRcnnOptions& options) {
  if (options.frozen_norm && options.variant == Variant::torchvision) {
    for (const auto& module : body.modules())
      if (is_norm(*module))
        for (auto& parameter : module->parameters()) parameter.set_requires_grad(false);
  }
  for (const auto& parameter : body.named_parameters()) {
    for (size_t level = 0; level < static_cast<size_t>(options.frozen_levels); ++level) {
      for (const std::string& name : level_names.at(level))
        if (parameter.key().starts_with(name)) parameter.value().set_requires_grad(false);
    }
  }
}

}  // namespace

FasterRcnnOptions FasterRcnnOptions::of(Variant variant) {
  FasterRcnnOptions options{.variant = variant};
  if (variant == Variant::mmdetection) options.train_after = 1000;
  return options;
}

struct FasterRcnn::Scene {
  int64_t images, height, width;
  std::vector<Tensor> pyramid;     // [N, C, h, w], finest first
  Tensor anchors;                  // [A, 4]
  std::vector<int64_t> per_level;  // anchors
};

struct FasterRcnn::Candidates {
  Tensor objectness;  // [N, A]
  Tensor codes;       // [N, A, 4]
};

FasterRcnn::FasterRcnn(std::shared_ptr<Backbone> body, const FasterRcnnOptions& options)
    : options_(options), body_(std::move(body)) {
  IVORY_CHECK(body_ != nullptr, "Faster R-CNN: a backbone of images is needed, there is none");
  IVORY_CHECK(options_.classes > 0, "Faster R-CNN: at least one class is needed");
  const BackboneInfo info = body_->info();
  pyramid_ = std::make_shared<FeaturePyramid>(widths_of(info), options_.width, options_.variant);
  for (const Level& level : std::span(info.levels).last(levels_used))
    strides_.push_back(static_cast<double>(level.stride[2]));
  proposal_head_ =
      std::make_shared<ProposalHead>(options_.width, static_cast<int64_t>(options_.ratios.size()), mmdetection());
  box_head_ = std::make_shared<BoxHead>(options_.width * RoiAlign{}.size * RoiAlign{}.size, options_.head_width,
                                        options_.classes, mmdetection());
  if (mmdetection()) {
    register_module("backbone", body_);
    register_module("neck", pyramid_);
    register_module("rpn_head", proposal_head_);
    place(*this, "roi_head.bbox_head", box_head_);
  } else {
    place(*this, "backbone.body", body_);
    place(*this, "backbone.fpn", pyramid_);
    place(*this, "rpn.head", proposal_head_);
    register_module("roi_heads", box_head_);
  }
  freeze(*body_, options_);
}

void FasterRcnn::train(bool on) {
  torch::nn::Module::train(on);
  if (!options_.frozen_norm) return;
  for (const auto& module : body_->modules())
    if (is_norm(*module)) module->train(false);
}

FasterRcnn::Scene FasterRcnn::look(const Tensor& images) {
  IVORY_CHECK(images.dim() == 4, "Faster R-CNN: expected images [N, C, H, W], got ", images.sizes());
  Scene scene{.images = images.size(0),
              .height = images.size(2),
              .width = images.size(3),
              .pyramid = {},
              .anchors = {},
              .per_level = {}};
  auto levels = body_->forward(images).levels;
  levels.erase(levels.begin(), levels.end() - levels_used);
  scene.pyramid = pyramid_->forward(levels);
  std::vector<Tensor> anchors;
  for (size_t l = 0; l < scene.pyramid.size(); ++l) {
    const int64_t rows = scene.pyramid[l].size(2), columns = scene.pyramid[l].size(3);
    const double power = static_cast<double>(int64_t{1} << l);
    const auto cell = cell_anchors(options_.anchor_size * power, options_.ratios, !mmdetection());
    const int64_t fixed = static_cast<int64_t>(strides_.front() * power);
    anchors.push_back(grid_anchors(cell, rows, columns, mmdetection() ? fixed : scene.height / rows,
                                   mmdetection() ? fixed : scene.width / columns));
    scene.per_level.push_back(anchors.back().size(0));
  }
  const auto type = scene.pyramid.front().scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  scene.anchors = torch::cat(anchors).to(images.device(), type);
  return scene;
}

FasterRcnn::Candidates FasterRcnn::candidates(const Scene& scene) {
  std::vector<Tensor> objectness, codes;
  for (const Tensor& level : scene.pyramid) {
    const auto [score, code] = proposal_head_->forward(level);  // [N, R, h, w], [N, 4·R, h, w]
    objectness.push_back(score.permute({0, 2, 3, 1}).flatten(1));
    codes.push_back(code.permute({0, 2, 3, 1}).reshape({scene.images, -1, 4}));
  }
  const auto type = scene.anchors.scalar_type();
  return {torch::cat(objectness, 1).to(type), torch::cat(codes, 1).to(type)};
}

// Of one image: objectness [A], boxes [A, 4] → the proposals [k, 4].
Tensor FasterRcnn::keep_best(const Scene& scene, const Tensor& scores, const Tensor& boxes) const {
  const int64_t before = is_training() ? options_.train_before : options_.test_before;
  const int64_t after = is_training() ? options_.train_after : options_.test_after;
  std::vector<Tensor> best, level;
  int64_t first = 0;
  for (size_t l = 0; l < scene.per_level.size(); ++l) {
    const int64_t count = std::min(before, scene.per_level[l]);
    best.push_back(std::get<1>(scores.narrow(0, first, scene.per_level[l]).topk(count)) + first);
    level.push_back(torch::full({count}, static_cast<int64_t>(l), best.back().options()));
    first += scene.per_level[l];
  }
  auto chosen = torch::cat(best), levels = torch::cat(level);
  auto kept = clip_boxes(boxes.index_select(0, chosen), scene.height, scene.width);
  constexpr double least_side = 1e-3;
  const auto large =
      ((kept.select(1, 2) - kept.select(1, 0) >= least_side) & (kept.select(1, 3) - kept.select(1, 1) >= least_side))
          .nonzero()
          .squeeze(1);
  kept = kept.index_select(0, large);
  const auto order = suppress_by_class(kept, scores.index_select(0, chosen.index_select(0, large)).sigmoid(),
                                       levels.index_select(0, large), options_.proposal_overlap);
  return kept.index_select(0, order.slice(0, 0, after));
}

std::vector<Tensor> FasterRcnn::proposals(const Scene& scene, const Candidates& of) const {
  const torch::NoGradGuard no_grad;
  const BoxCoder decoder = coder(options_, false);
  std::vector<Tensor> result;
  for (int64_t i = 0; i < scene.images; ++i) {
    const auto boxes = decoder.decode(of.codes[i].detach(), scene.anchors).squeeze(1);
    result.push_back(keep_best(scene, of.objectness[i].detach(), boxes));
  }
  return result;
}

// Places of positives and negatives (matched < background are left out), ascending.
std::pair<Tensor, Tensor> FasterRcnn::sampled(const Tensor& matched, int64_t most, double share) const {
  const auto drawn = [&](const Tensor& places, int64_t count) {
    const auto chosen = order(places.numel()).slice(0, 0, count).to(places.device());
    return std::get<0>(places.index_select(0, chosen).sort());
  };
  const auto positive = (matched >= 0).nonzero().squeeze(1), negative = (matched == background).nonzero().squeeze(1);
  const auto positives = std::min(positive.numel(), static_cast<int64_t>(static_cast<double>(most) * share));
  return {drawn(positive, positives), drawn(negative, std::min(negative.numel(), most - positives))};
}

Tensor FasterRcnn::box_loss(const Tensor& predicted, const Tensor& wanted, double count) const {
  const auto off = predicted - wanted;
  constexpr double beta = 1.0 / 9;
  const auto loss = mmdetection() ? off.abs() : torch::smooth_l1_loss(predicted, wanted, at::Reduction::None, beta);
  return loss.sum() / count;
}

void FasterRcnn::proposal_losses(const Scene& scene, const Candidates& of, const std::vector<Boxes>& truth,
                                 DetectionLosses& losses) const {
  using LowQuality = MatchRule::LowQuality;
  const MatchRule rule{.low_quality = mmdetection() ? LowQuality::overwrite : LowQuality::shared};
  const BoxCoder encoder = coder(options_, false);
  std::vector<Tensor> scores, wanted_scores, codes, wanted_codes;
  double count = 0;
  for (int64_t i = 0; i < scene.images; ++i) {
    const auto boxes = truth[static_cast<size_t>(i)].corners.to(scene.anchors.options());
    const auto matched = match_anchors(box_overlaps(boxes, scene.anchors), rule);
    const auto [positive, negative] = sampled(matched, options_.anchors_sampled, options_.anchors_positive);
    scores.push_back(of.objectness[i].index_select(0, torch::cat({positive, negative})));
    wanted_scores.push_back(torch::cat({torch::ones({positive.numel()}, scores.back().options()),
                                        torch::zeros({negative.numel()}, scores.back().options())}));
    codes.push_back(of.codes[i].index_select(0, positive));
    wanted_codes.push_back(encoder.encode(boxes.index_select(0, matched.index_select(0, positive)),
                                          scene.anchors.index_select(0, positive)));
    // MMDetection counts at least one of either in each image.
    const int64_t least = mmdetection() ? 1 : 0;
    count += static_cast<double>(std::max(positive.numel(), least) + std::max(negative.numel(), least));
  }
  count = std::max(count, 1.0);
  losses.objectness = torch::binary_cross_entropy_with_logits(torch::cat(scores), torch::cat(wanted_scores), {}, {},
                                                              at::Reduction::Sum) /
                      count;
  losses.proposal_box = box_loss(torch::cat(codes), torch::cat(wanted_codes), count);
}

// Class logits and codes of all images' boxes: [k, 1 + C], [k, 4 · outputs].
std::pair<Tensor, Tensor> FasterRcnn::head(const Scene& scene, const std::vector<Tensor>& boxes) {
  std::vector<Tensor> rois;
  for (size_t i = 0; i < boxes.size(); ++i) {
    const auto image = torch::full({boxes[i].size(0), 1}, static_cast<double>(i), boxes[i].options());
    rois.push_back(torch::cat({image, boxes[i]}, 1));
  }
  const std::vector<Tensor> levels(scene.pyramid.begin(), scene.pyramid.begin() + levels_used);
  const RoiAlign align = mmdetection() ? RoiAlign{.sampling = 0, .aligned = true} : RoiAlign{};
  const auto [logits, codes] = box_head_->forward(roi_align_levels(levels, strides_, torch::cat(rois), align));
  const auto type = scene.anchors.scalar_type();
  return {logits.to(type), codes.to(type)};
}

void FasterRcnn::head_losses(const Scene& scene, const std::vector<Tensor>& proposals, const std::vector<Boxes>& truth,
                             DetectionLosses& losses) {
  const MatchRule rule{.positive = 0.5, .negative = 0.5, .low_quality = MatchRule::LowQuality::ignored};
  const BoxCoder encoder = coder(options_, true);
  const int64_t none = mmdetection() ? options_.classes : 0;
  std::vector<Tensor> chosen, classes, wanted;
  for (int64_t i = 0; i < scene.images; ++i) {
    const auto& of = truth[static_cast<size_t>(i)];
    const auto boxes = of.corners.to(scene.anchors.options());
    const auto named = of.classes.to(scene.anchors.device()) - 1 + first_class();
    // MMDetection puts the truth in front, torchvision behind.
    const auto& found = proposals[static_cast<size_t>(i)];
    const auto all = mmdetection() ? torch::cat({boxes, found}) : torch::cat({found, boxes});
    const auto matched = match_anchors(box_overlaps(boxes, all), rule);
    const auto [positive, negative] = sampled(matched, options_.boxes_sampled, options_.boxes_positive);
    const auto all_sampled = std::get<0>(torch::cat({positive, negative}).sort());
    const auto of_sampled = matched.index_select(0, all_sampled);
    chosen.push_back(all.index_select(0, all_sampled));
    auto labels = torch::full({all_sampled.numel()}, none, of_sampled.options());
    const auto place = (of_sampled >= 0).nonzero().squeeze(1);
    const auto box = of_sampled.index_select(0, place);
    labels.index_put_({place}, named.index_select(0, box));
    classes.push_back(labels);
    wanted.push_back(encoder.encode(boxes.index_select(0, box), chosen.back().index_select(0, place)));
  }
  const auto labels = torch::cat(classes);
  const auto count = std::max(static_cast<double>(labels.numel()), 1.0);
  const auto [logits, codes] = head(scene, chosen);
  losses.classifier = torch::cross_entropy_loss(logits, labels, {}, at::Reduction::Sum) / count;
  const auto positive = (labels != none).nonzero().squeeze(1);
  const auto predicted = codes.view({codes.size(0), -1, 4}).index({positive, labels.index_select(0, positive)});
  losses.box = box_loss(predicted, torch::cat(wanted), count);
}

DetectionLosses FasterRcnn::losses(const Tensor& images, const std::vector<Boxes>& truth) {
  IVORY_CHECK(static_cast<int64_t>(truth.size()) == images.size(0), "Faster R-CNN: ", images.size(0),
              " images and boxes of ", truth.size());
  for (const Boxes& boxes : truth) {
    IVORY_CHECK(boxes.corners.dim() == 2 && boxes.corners.size(1) == 4 &&
                    boxes.classes.sizes() == boxes.corners.sizes().slice(0, 1),
                "Faster R-CNN: expected boxes [n, 4] with a class each, got ", boxes.corners.sizes(), " and ",
                boxes.classes.sizes());
    const auto flat = (boxes.corners.narrow(1, 2, 2) <= boxes.corners.narrow(1, 0, 2)).any().item<bool>();
    IVORY_CHECK(!flat, "Faster R-CNN: a box of the truth has no area");
  }
  const Scene scene = look(images);
  const Candidates of = candidates(scene);
  DetectionLosses losses;
  proposal_losses(scene, of, truth, losses);
  head_losses(scene, proposals(scene, of), truth, losses);
  return losses;
}

std::vector<Detections> FasterRcnn::detect(const Tensor& images) {
  const torch::NoGradGuard no_grad;
  const Scene scene = look(images);
  const auto boxes = proposals(scene, candidates(scene));
  const auto [logits, codes] = head(scene, boxes);
  const auto probabilities = logits.softmax(1).narrow(1, first_class(), options_.classes);
  const BoxCoder decoder = coder(options_, true);
  constexpr double least_side = 1e-2;
  std::vector<Detections> result;
  int64_t first = 0;
  for (const Tensor& of : boxes) {
    const int64_t count = of.size(0);
    auto corners = decoder.decode(codes.narrow(0, first, count), of).narrow(1, first_class(), options_.classes);
    corners = clip_boxes(corners, scene.height, scene.width).reshape({-1, 4});
    const auto scores = probabilities.narrow(0, first, count).reshape({-1});
    const auto classes = torch::arange(1, options_.classes + 1, of.options().dtype(torch::kInt64)).repeat({count});
    first += count;
    auto good = scores > options_.least_score;
    if (!mmdetection())
      good = good & (corners.select(1, 2) - corners.select(1, 0) >= least_side) &
             (corners.select(1, 3) - corners.select(1, 1) >= least_side);
    const auto place = good.nonzero().squeeze(1);
    Detections kept{corners.index_select(0, place), classes.index_select(0, place), scores.index_select(0, place)};
    const auto order = suppress_by_class(kept.corners, kept.scores, kept.classes, options_.result_overlap)
                           .slice(0, 0, options_.most_results);
    result.push_back(
        {kept.corners.index_select(0, order), kept.classes.index_select(0, order), kept.scores.index_select(0, order)});
  }
  return result;
}

}  // namespace ivory::nn
