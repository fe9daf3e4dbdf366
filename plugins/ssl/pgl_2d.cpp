// Prior-guided local learning on slices: Xie et al., "PGL: Prior-Guided Local Self-supervised Learning for 3D Medical
// Image Segmentation", 2020, read for images (no code of theirs is public).
//
// Two crops of a slice share a region that is known from where they were cut. BYOL's twins on their feature maps: both
// maps are sampled at one grid over that region, and at every position one predicts the other:
//   L = mean of 2 − 2 cos(q(z_a), z'_b), a and b the two views in both orders, z' of the moving average
// Pairs whose crops share nothing are left out.
#include <ivory/nn/ema_twin.h>
#include <ivory/nn/view_comparison.h>
#include <ivory/plugin.h>

namespace {

namespace nn = ivory::nn;
using torch::Tensor;

// Where a grid of side × side points over the region that two crops share lies in each of them.
struct SharedRegion {
  std::array<Tensor, 2> grid;  // each [B, side, side, 2] for grid_sampler_2d
  Tensor pairs;                // [P] the samples whose crops share a region
};

// The rows and columns that a crop covers, [B, 2] each: from border to border.
std::pair<Tensor, Tensor> borders(const ivory::View& view) {
  const Tensor size = torch::tensor({view.pixels.size(2), view.pixels.size(3)}, torch::kDouble);
  const Tensor scale = view.place.narrow(2, 0, 2).diagonal(0, 1, 2), first = view.place.select(2, 2);  // [B, 2]
  const Tensor one = first - 0.5 * scale, other = first + (size - 0.5) * scale;
  return {torch::minimum(one, other), torch::maximum(one, other)};
}

SharedRegion shared_region(const ivory::View& a, const ivory::View& b, int64_t side) {
  const auto [low_a, high_a] = borders(a);
  const auto [low_b, high_b] = borders(b);
  const Tensor low = torch::maximum(low_a, low_b), extent = torch::minimum(high_a, high_b) - low;  // [B, 2]
  const Tensor steps = (torch::arange(side, torch::kDouble) + 0.5) / static_cast<double>(side);
  const Tensor places = low.unsqueeze(1) + extent.unsqueeze(1) * steps.view({1, side, 1});  // [B, side, 2] row, column
  SharedRegion region;
  region.pairs = (extent > 0).all(1).nonzero().squeeze(1);
  const std::array<const ivory::View*, 2> views = {&a, &b};
  for (size_t v = 0; v < 2; ++v) {
    const Tensor size = torch::tensor({views[v]->pixels.size(2), views[v]->pixels.size(3)}, torch::kDouble);
    const Tensor scale = views[v]->place.narrow(2, 0, 2).diagonal(0, 1, 2).unsqueeze(1);
    const Tensor pixels = (places - views[v]->place.select(2, 2).unsqueeze(1)) / scale;  // [B, side, 2]
    const Tensor unit = (2 * pixels + 1) / size - 1;  // −1 and 1: the outer borders
    const Tensor y = unit.select(2, 0).unsqueeze(2).expand({-1, side, side});
    const Tensor x = unit.select(2, 1).unsqueeze(1).expand({-1, side, side});
    region.grid[v] = torch::stack({x, y}, 3);
  }
  return region;
}

// Channels of the deepest feature map.
int64_t map_width(const ivory::Objective::Context& context) {
  const auto encoder = context.model ? context.model->encoder(context.on) : nullptr;
  if (!encoder) return context.width;
  const auto levels = encoder->info().levels;
  IVORY_CHECK(!levels.empty(), "pgl-2d needs feature maps, which this backbone does not give");
  return levels.back().width;
}

class Pgl : public ivory::Objective {
 public:
  Pgl(const ivory::Options& options, const Context& context) : side_(options.get<int64_t>("grid")), momentum_(options) {
    nn::check_pairs("pgl-2d", context);
    const auto hidden = options.get<int64_t>("head_width"), width = options.get<int64_t>("embedding_width");
    const nn::HeadSpec spec{.widths = {map_width(context), hidden, width}};
    projector_ = register_module("projector", nn::comparison_head(spec));
    predictor_ = register_module("predictor", nn::comparison_head({.widths = {width, hidden, width}}));
    target_projector_ = nn::comparison_head(spec);
    target_model_ = context.fresh_model();
    model_twin_ = register_module("target_model", std::make_shared<nn::EmaTwin>(target_model_));
    projector_twin_ = register_module("target_projector", std::make_shared<nn::EmaTwin>(target_projector_.ptr()));
  }

  void before_training(ivory::Model& model, const ivory::StageContext& stage) override {
    group_ = stage.group;
    model_twin_->start(model);
    projector_twin_->start(*projector_);
  }
  void before_step(ivory::Model&, const ivory::StageContext& stage) override { group_ = stage.group; }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    const ivory::View &a = batch.views[0], &b = batch.views[1];
    IVORY_CHECK(a.place.defined() && b.place.defined(), "pgl-2d needs to know where its views were cut");
    const SharedRegion region = shared_region(a, b, side_);
    Tensor pairs = torch::tensor({static_cast<double>(region.pairs.size(0))}, torch::kDouble);
    overlap_ = pairs.item<double>() / static_cast<double>(batch.size());
    group_->all_reduce_sum(pairs);
    // Each process's sum over its pairs, so that the processes' mean is the mean over all pairs.
    const double share = static_cast<double>(group_->world_size()) / std::max(pairs.item<double>(), 1.0);
    const auto positions = static_cast<double>(side_ * side_);
    std::array<Tensor, 2> predictions, targets;
    for (size_t v = 0; v < 2; ++v) {
      const Tensor& pixels = batch.views[v].pixels;
      const Tensor z = projector_->forward(rows(model.embed(pixels), region, v));
      predictions[v] = nn::unit_rows(predictor_->forward(z));
      const torch::NoGradGuard no_grad;
      targets[v] = nn::unit_rows(target_projector_->forward(rows(target_model_->embed(pixels), region, v)));
    }
    const auto distance = [&](const Tensor& q, const Tensor& z) {
      return (2 - 2 * (q * z).sum(1)).sum() * share / positions;
    };
    embeddings_ = predictions[0].detach();
    return {{"pgl_2d", (distance(predictions[0], targets[1]) + distance(predictions[1], targets[0])) / 2}};
  }

  void after_step(ivory::Model& model, const ivory::StageContext& stage) override {
    const double decay = momentum_.at(stage.step, stage.total_steps);
    model_twin_->follow(model, decay);
    projector_twin_->follow(*projector_, decay);
  }

  // overlap: share of the samples whose crops share a region.
  std::vector<ivory::Measure> measures() const override {
    if (!embeddings_.defined() || embeddings_.size(0) == 0) return {};
    return {nn::embedding_rank(embeddings_),
            {.name = "overlap",
             .value = overlap_,
             .low = 0.5,
             .if_low = "most crops share nothing with the other one; larger crops (scale) do"}};
  }

 private:
  // Features of the deepest level at the region's positions: [P · side², C].
  Tensor rows(const ivory::Features& features, const SharedRegion& region, size_t view) const {
    const Tensor& map = features.levels.back();
    const Tensor pairs = region.pairs.to(map.device());
    const Tensor grid = region.grid[view].index_select(0, region.pairs).to(map.device(), map.scalar_type());
    const Tensor sampled =
        at::grid_sampler_2d(map.index_select(0, pairs), grid, /*bilinear*/ 0, /*border*/ 1, /*align_corners=*/false);
    return sampled.permute({0, 2, 3, 1}).flatten(0, 2);
  }

  int64_t side_;
  nn::MomentumSchedule momentum_;
  double overlap_ = 1;
  const ivory::Collective* group_ = &ivory::Collective::alone();
  Tensor embeddings_;  // of the last forward
  torch::nn::Sequential projector_{nullptr}, predictor_{nullptr}, target_projector_{nullptr};
  std::shared_ptr<ivory::Model> target_model_;
  std::shared_ptr<nn::EmaTwin> model_twin_, projector_twin_;
};

std::vector<ivory::Option> options() {
  auto declared = nn::MomentumSchedule::options(0.996, "cosine");
  declared.push_back(
      {.name = "head_width", .fallback = int64_t{4096}, .help = "Hidden width of the heads.", .minimum = 1});
  declared.push_back(
      {.name = "embedding_width", .fallback = int64_t{256}, .help = "Width of the projections.", .minimum = 2});
  declared.push_back({.name = "grid",
                      .fallback = int64_t{7},
                      .help = "Positions along each axis of the region that two crops share.",
                      .minimum = 1,
                      .maximum = 64});
  return declared;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "pgl-2d",
      .summary = "Feature maps of two crops of a slice agree position by position where the crops overlap.",
      .source = "Xie et al., PGL: Prior-Guided Local Self-supervised Learning for 3D Medical Image Segmentation, 2020",
      .options = options(),
      .create = [](const ivory::Options& values, const ivory::Objective::Context& context) {
        return std::make_shared<Pgl>(values, context);
      }});
}
