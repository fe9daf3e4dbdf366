// VoCo (Wu et al., "VoCo: A Simple-yet-Effective Volume Contrastive Learning Framework for 3D Medical Image Analysis",
// CVPR 2024): a view is cut into a grid of base crops; a further crop of the same size lies anywhere in it, and the
// network says by its similarity to each base how much of that base it shows.
//   l_i = ReLU(cos(z, z_i)), y_i the share of the crop that lies in base i
//   loss = −mean_i ln(1 − |y_i − l_i|) + mean over pairs of bases of |cos(z_i, z_j)|
#include <ivory/nn/perturb.h>
#include <ivory/plugin.h>

#include <algorithm>
#include <cmath>

namespace {

namespace nn = ivory::nn;
using torch::Tensor;

constexpr uint64_t crop_stream = 0x766f636f;  // keeps these draws apart from the loader's
constexpr double least = 1e-6;                // of 1 − |y − l|

class VoCo : public ivory::Objective {
 public:
  VoCo(const ivory::Options& options, const Context& context) : weight_(options.get<double>("regularisation")) {
    const auto grid = options.get<std::vector<int64_t>>("grid");
    std::ranges::copy(grid, grid_.begin());
    const int64_t hidden = options.get<int64_t>("head_width"), width = options.get<int64_t>("embedding_width");
    head = register_module("head", torch::nn::Sequential(torch::nn::Linear(context.width, hidden), torch::nn::ReLU(),
                                                         torch::nn::Linear(hidden, width)));
  }

  std::vector<std::string> trains() const override { return {"encoder"}; }
  std::vector<std::string> prepares() const override { return {"crops", "share"}; }

  // [V, 1 + K, 1, d, h, w]: the crop, then the bases; [V, K].
  std::vector<Tensor> prepare(const ivory::Sample& sample) const override {
    const Tensor views = nn::grey_views(sample, "voco");
    nn::normalise(nn::cube_of(views));
    const auto sides = nn::cube_of(views[0]).sides;
    std::array<int64_t, 3> side;
    for (size_t i = 0; i < 3; ++i) {
      IVORY_CHECK(sides[i] % grid_[i] == 0, "voco cuts views into ", grid_[0], " x ", grid_[1], " x ", grid_[2],
                  " crops, which must divide their ", sides[0], " x ", sides[1], " x ", sides[2], " voxels");
      side[i] = sides[i] / grid_[i];
    }
    const int64_t count = views.size(0), bases = grid_[0] * grid_[1] * grid_[2];
    const Tensor crops = torch::empty({count, 1 + bases, 1, side[0], side[1], side[2]});
    const Tensor share = torch::empty({count, bases});
    for (int64_t v = 0; v < count; ++v) {
      ivory::CounterRandom random = sample.random(static_cast<size_t>(v), crop_stream);
      std::array<int64_t, 3> start;
      for (size_t i = 0; i < 3; ++i) start[i] = random.below(sides[i] - side[i] + 1);
      take(views[v], start, side, crops[v][0]);
      for (int64_t b = 0; b < bases; ++b) {
        const std::array<int64_t, 3> cell = {b / (grid_[1] * grid_[2]), b / grid_[2] % grid_[1], b % grid_[2]};
        double common = 1;
        std::array<int64_t, 3> at;
        for (size_t i = 0; i < 3; ++i) {
          at[i] = cell[i] * side[i];
          common *= std::max(0.0, 1 - std::abs(static_cast<double>(start[i] - at[i])) / static_cast<double>(side[i]));
        }
        share.data_ptr<float>()[v * bases + b] = static_cast<float>(common);
        take(views[v], at, side, crops[v][1 + b]);
      }
    }
    return {crops, share};
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    IVORY_CHECK(batch.prepared.size() == 2, "voco needs batches that its prepare() has seen");
    const Tensor crops = batch.prepared[0].flatten(0, 1), share = batch.prepared[1].flatten(0, 1);  // [N, 1 + K, …]
    const Tensor z = head->forward(model.embed(crops.flatten(0, 1)).pooled);
    const Tensor precise = z.to(torch::promoteTypes(torch::kFloat, z.scalar_type()));
    const Tensor unit = torch::nn::functional::normalize(precise, torch::nn::functional::NormalizeFuncOptions().dim(1))
                            .view({crops.size(0), crops.size(1), -1});  // [N, 1 + K, E]
    const Tensor crop = unit.narrow(1, 0, 1), bases = unit.narrow(1, 1, share.size(1));
    const Tensor told = torch::relu(bases.matmul(crop.transpose(1, 2)).squeeze(2));  // [N, K]
    const Tensor position = -(1 - (share - told).abs()).clamp_min(least).log().mean();
    const int64_t k = bases.size(1);
    const Tensor alike = bases.matmul(bases.transpose(1, 2)).abs();  // [N, K, K]
    const Tensor off = torch::ones({k, k}, alike.options()).fill_diagonal_(0);
    const Tensor apart = (alike * off).sum() / static_cast<double>(alike.size(0) * std::max<int64_t>(1, k * (k - 1)));
    const torch::NoGradGuard no_grad;
    accuracy_ = (told.argmax(1) == share.argmax(1)).to(torch::kFloat).mean();
    bases_ = k;
    return {{"position", position}, {"regularisation", weight_ * apart}};
  }

  // accuracy: crops that are most like the base that they share most with. Of the last batch.
  std::vector<ivory::Measure> measures() const override {
    if (!accuracy_.defined()) return {};
    return {{.name = "accuracy",
             .value = accuracy_.item<double>(),
             .compare = 1 / static_cast<double>(bases_),
             .compare_label = "a guess"}};
  }

 private:
  static void take(const Tensor& view, const std::array<int64_t, 3>& start, const std::array<int64_t, 3>& sides,
                   const Tensor& out) {
    const nn::Cube from = nn::cube_of(view);
    float* to = out.data_ptr<float>();
    for (int64_t z = 0; z < sides[0]; ++z)
      for (int64_t y = 0; y < sides[1]; ++y)
        to =
            std::copy_n(from.voxels.data() + ((start[0] + z) * from.sides[1] + start[1] + y) * from.sides[2] + start[2],
                        sides[2], to);
  }

  double weight_;
  std::array<int64_t, 3> grid_ = {};
  int64_t bases_ = 1;
  torch::nn::Sequential head{nullptr};
  Tensor accuracy_;  // of the last forward
};

std::string check(const ivory::Options& options) {
  const auto grid = options.get<std::vector<int64_t>>("grid");
  if (grid.size() != 3) return "grid needs three numbers, D, H, W, but has " + std::to_string(grid.size());
  return grid[0] * grid[1] * grid[2] > 1 ? "" : "grid needs two or more base crops";
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "voco",
      .summary = "Where a crop lies in its volume, told by its similarity to crops at known places.",
      .source = "Wu et al., VoCo: A Simple-yet-Effective Volume Contrastive Learning Framework, CVPR 2024",
      .options = {{.name = "grid",
                   .fallback = std::vector<int64_t>{1, 4, 4},
                   .help = "Base crops along D, H, W.",
                   .minimum = 1,
                   .maximum = 16},
                  {.name = "regularisation",
                   .fallback = 1.0,
                   .help = "Weight of keeping base crops apart.",
                   .minimum = 0,
                   .maximum = 100},
                  {.name = "head_width", .fallback = int64_t{2048}, .help = "Hidden.", .minimum = 1, .maximum = 65536},
                  {.name = "embedding_width",
                   .fallback = int64_t{2048},
                   .help = "Of what is compared.",
                   .minimum = 1,
                   .maximum = 65536}},
      .check = check,
      .kinds = {ivory::SampleKind::volume},
      .create = [](const ivory::Options& options, const ivory::Objective::Context& context)
          -> std::shared_ptr<ivory::Objective> { return std::make_shared<VoCo>(options, context); }});
}
