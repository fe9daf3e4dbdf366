// PGL in 3D (Xie et al., "PGL: Prior-Guided Local Self-Supervised Learning for 3D Medical Image Segmentation", 2020):
// BYOL at every place. Where two crops of a volume show the same tissue, what the network predicts there from one is to
// agree with its slow twin's projection of the other.
//   O = what both crops show; on a grid of O, as fine as the first crop's features, each map is read (trilinear):
//   loss = mean over the grid of 2 − 2 cos(q(p(f(x1))), p̄(f̄(x2))) + the same with x1 and x2 exchanged
#include <ivory/nn/ema_twin.h>
#include <ivory/plugin.h>

#include <algorithm>
#include <cmath>

namespace {

namespace nn = ivory::nn;
using torch::Tensor;

// conv 1³ → BN → ReLU → conv 1³.
torch::nn::Sequential dense_head(int64_t in, int64_t hidden, int64_t out) {
  const auto conv = [](int64_t from, int64_t to) { return torch::nn::Conv3d(torch::nn::Conv3dOptions(from, to, 1)); };
  return torch::nn::Sequential(conv(in, hidden), torch::nn::BatchNorm3d(hidden),
                               torch::nn::ReLU(torch::nn::ReLUOptions(true)), conv(hidden, out));
}

// Where a crop's box lies in its volume, along z, y, x in mm; `flip` where its voxels run backwards.
struct PlacedBox {
  std::array<double, 3> low, high;
  std::array<bool, 3> flip;
};

PlacedBox box_of(const Tensor& place, torch::IntArrayRef sides) {
  const auto p = place.accessor<double, 2>();
  PlacedBox box;
  for (int64_t i = 0; i < 3; ++i) {
    const double step = p[i][i];
    for (int64_t j = 0; j < 3; ++j)
      IVORY_CHECK(i == j || std::abs(p[i][j]) <= 1e-6 * std::abs(step),
                  "pgl finds what two crops share in boxes along the volume's axes, but a view is turned: set "
                  "[stage.views.volume] rotation = 0");
    const double first = p[i][3] - 0.5 * step, last = first + step * static_cast<double>(sides[static_cast<size_t>(i)]);
    const auto axis = static_cast<size_t>(i);
    box.low[axis] = std::min(first, last);
    box.high[axis] = std::max(first, last);
    box.flip[axis] = step < 0;
  }
  return box;
}

// Where two crops agree, for each of their feature maps a sampling grid [1, gz, gy, gx, 3]; undefined without a common
// voxel.
struct Alignment {
  Tensor first, second;
  bool thin = false;  // along an axis less than a cell of the features
};

// In [-1, 1] of the map, x first, as grid_sampler_3d takes it: its outer borders are those of the box.
Tensor grid_in(const PlacedBox& box, const std::array<std::vector<double>, 3>& points, const Tensor& like) {
  std::array<Tensor, 3> axis;
  for (size_t i = 0; i < 3; ++i) {
    std::vector<double> at;
    for (const double p : points[i]) {
      const double w = (p - box.low[i]) / (box.high[i] - box.low[i]);
      at.push_back(2 * (box.flip[i] ? 1 - w : w) - 1);
    }
    axis[i] = torch::tensor(at, torch::kDouble).to(like.options());
  }
  const auto mesh = torch::meshgrid({axis[0], axis[1], axis[2]}, "ij");
  return torch::stack({mesh[2], mesh[1], mesh[0]}, -1).unsqueeze(0);
}

Alignment align(const PlacedBox& first, const PlacedBox& second, torch::IntArrayRef cells, const Tensor& like) {
  Alignment alignment;
  std::array<std::vector<double>, 3> points;
  for (size_t i = 0; i < 3; ++i) {
    const double low = std::max(first.low[i], second.low[i]), high = std::min(first.high[i], second.high[i]);
    const double cell = (first.high[i] - first.low[i]) / static_cast<double>(cells[i]);
    if (!(high - low > 1e-9 * cell)) return {};
    alignment.thin = alignment.thin || high - low < cell * (1 - 1e-9);
    const auto count = std::max<int64_t>(1, static_cast<int64_t>(std::ceil((high - low) / cell - 1e-9)));
    for (int64_t k = 0; k < count; ++k)
      points[i].push_back(low + (static_cast<double>(k) + 0.5) / static_cast<double>(count) * (high - low));
  }
  alignment.first = grid_in(first, points, like);
  alignment.second = grid_in(second, points, like);
  return alignment;
}

// [1, C, d, h, w] → [C, points], the border repeated.
Tensor read(const Tensor& map, const Tensor& grid) {
  constexpr int64_t linear = 0, border = 1;
  return torch::grid_sampler_3d(map, grid, linear, border, /*align_corners=*/false)[0].flatten(1);
}

class Pgl : public ivory::Objective {
 public:
  Pgl(const ivory::Options& options, const Context& context) : momentum_(options) {
    IVORY_CHECK(context.views == 0 || context.views == 2, "pgl compares 2 views of a volume, but got ", context.views);
    const auto encoder = context.model->encoder(ivory::SampleKind::volume);
    IVORY_CHECK(encoder && !encoder->info().levels.empty(),
                "pgl needs a model with a network of volumes that has feature maps, but [model] has none");
    const int64_t width = encoder->info().levels.back().width;
    const auto hidden = options.get<int64_t>("hidden"), out = options.get<int64_t>("embedding_width");
    projector = register_module("projector", dense_head(width, hidden, out));
    predictor = register_module("predictor", dense_head(out, hidden, out));
    twin_network_ = context.fresh_model();
    twin_projector_ = dense_head(width, hidden, out);
    twin = register_module("twin", std::make_shared<nn::EmaTwin>(twin_network_));
    twin_projector = register_module("twin_projector", std::make_shared<nn::EmaTwin>(twin_projector_.ptr()));
  }

  std::vector<std::string> trains() const override { return {"encoder"}; }

  void before_training(ivory::Model& model, const ivory::StageContext&) override {
    twin->start(model);
    twin_projector->start(*projector);
  }
  void after_step(ivory::Model& model, const ivory::StageContext& stage) override {
    const double momentum = momentum_.at(stage.step, stage.total_steps);
    twin->follow(model, momentum);
    twin_projector->follow(*projector, momentum);
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    IVORY_CHECK(batch.views.size() == 2, "pgl compares 2 views of a volume, but got ", batch.views.size());
    const ivory::View &a = batch.views[0], &b = batch.views[1];
    IVORY_CHECK(a.place.defined() && b.place.defined(), "pgl needs views that know where they lie in their volume");
    const int64_t count = a.pixels.size(0);
    const Tensor online = projector->forward(model.embed(torch::cat({a.pixels, b.pixels})).levels.back());
    IVORY_CHECK(online[0][0].numel() * online.size(0) > 1,
                "pgl normalises over the places of all features, but got one: use larger crops or batches");
    const Tensor predicted = precise(predictor->forward(online));
    Tensor wanted;
    {
      const torch::NoGradGuard no_grad;
      wanted = precise(twin_projector_->forward(twin_network_->embed(torch::cat({a.pixels, b.pixels})).levels.back()));
    }
    apart_ = thin_ = 0;
    std::vector<Tensor> losses;
    const torch::IntArrayRef cells = predicted.sizes().slice(2);
    for (int64_t i = 0; i < count; ++i) {
      const Alignment common = align(box_of(a.place[i], a.pixels.sizes().slice(2)),
                                     box_of(b.place[i], b.pixels.sizes().slice(2)), cells, predicted);
      if (!common.first.defined()) {
        ++apart_;
        continue;
      }
      thin_ += common.thin ? 1 : 0;
      const auto at = [&](const Tensor& maps, int64_t view, const Tensor& grid) {
        return read(maps.narrow(0, view * count + i, 1), grid);
      };
      losses.push_back(disagreement(at(predicted, 0, common.first), at(wanted, 1, common.second)) +
                       disagreement(at(predicted, 1, common.second), at(wanted, 0, common.first)));
    }
    pairs_ = count;
    // Without a common voxel in the batch every parameter still has a gradient, of zero.
    return {{"pgl", losses.empty() ? 0 * predicted.sum() : torch::stack(losses).mean()}};
  }

  // Of the last batch's pairs: apart, those without a common voxel, which are left out; thin, those whose common part
  // is thinner than a cell of the features.
  std::vector<ivory::Measure> measures() const override {
    if (pairs_ == 0) return {};
    return {{.name = "apart", .value = static_cast<double>(apart_), .unit = "pairs"},
            {.name = "thin", .value = static_cast<double>(thin_), .unit = "pairs"}};
  }
  double chance_loss() const override { return 4; }  // orthogonal predictions

 private:
  static Tensor precise(const Tensor& x) { return x.to(torch::promoteTypes(torch::kFloat, x.scalar_type())); }

  // Mean over the points of 2 − 2 cos; a zero vector has the cosine 0.
  static Tensor disagreement(const Tensor& predicted, const Tensor& wanted) {
    const auto options = torch::nn::functional::CosineSimilarityFuncOptions().dim(0).eps(1e-12);
    return (2 - 2 * torch::nn::functional::cosine_similarity(predicted, wanted, options)).mean();
  }

  nn::MomentumSchedule momentum_;
  int64_t pairs_ = 0, apart_ = 0, thin_ = 0;
  std::shared_ptr<ivory::Model> twin_network_;
  torch::nn::Sequential projector{nullptr}, predictor{nullptr}, twin_projector_{nullptr};
  std::shared_ptr<nn::EmaTwin> twin, twin_projector;
};

std::vector<ivory::Option> options() {
  std::vector<ivory::Option> all = {
      {.name = "hidden", .fallback = int64_t{4096}, .help = "Width of both heads.", .minimum = 1, .maximum = 65536},
      {.name = "embedding_width",
       .fallback = int64_t{256},
       .help = "Of what is compared.",
       .minimum = 1,
       .maximum = 65536}};
  const auto momentum = nn::MomentumSchedule::options(0.99, "cosine");
  all.insert(all.end(), momentum.begin(), momentum.end());
  return all;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "pgl",
      .summary = "Agreement of the features of two crops with a slow twin's wherever the crops show the same tissue.",
      .source = "Xie et al., PGL: Prior-Guided Local Self-Supervised Learning for 3D Medical Image Segmentation, 2020",
      .options = options(),
      .kinds = {ivory::SampleKind::volume},
      .create = [](const ivory::Options& options, const ivory::Objective::Context& context)
          -> std::shared_ptr<ivory::Objective> { return std::make_shared<Pgl>(options, context); }});
}
