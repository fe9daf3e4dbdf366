// Masked autoencoding of cubes (He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022, on
// convolutional networks as in Wald et al., "An OpenMind for 3D Medical Vision Self-Supervised Learning", 2024): a
// share of a cube's blocks is set to the middle of the window, and the network restores them.
//   loss = mean over the masked voxels of (σ(head(decoder(f(masked)))) − x)²
// The share is exact: of n blocks round(ratio · n) are masked.
#include <ivory/nn/perturb.h>
#include <ivory/nn/restoration.h>
#include <ivory/plugin.h>

#include <cmath>
#include <numeric>

namespace {

namespace nn = ivory::nn;
using torch::Tensor;

constexpr uint64_t mask_stream = 0x6d616533;  // keeps these draws apart from the loader's

class Mae3d : public ivory::Objective {
 public:
  Mae3d(const ivory::Options& options, const Context& context)
      : ratio_(options.get<double>("mask_ratio")), block_(options.get<int64_t>("block")) {
    head_ = register_module("head", nn::Restoration(context, "mae-3d"));
  }

  std::vector<std::string> trains() const override { return {"encoder", "decoder"}; }
  std::vector<std::string> prepares() const override { return {"target", "mask"}; }

  std::vector<Tensor> prepare(const ivory::Sample& sample) const override {
    const Tensor target = nn::grey_views(sample, "mae-3d");  // [V, 1, D, H, W]
    const Tensor mask = torch::empty(target.sizes(), torch::kUInt8);
    for (int64_t v = 0; v < target.size(0); ++v) {
      ivory::CounterRandom random = sample.random(static_cast<size_t>(v), mask_stream);
      draw(nn::cube_of(target[v]).sides, random, mask[v].data_ptr<uint8_t>());
    }
    return {target, mask};
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    IVORY_CHECK(batch.prepared.size() == 2, "mae-3d needs batches that its prepare() has seen");
    const Tensor target = batch.prepared[0].flatten(0, 1), mask = batch.prepared[1].flatten(0, 1).to(torch::kBool);
    const Tensor input = ((target - 0.5) / 0.25).masked_fill(mask, 0);
    const Tensor restored = head_->forward(model.decode(model.embed(input)));
    const auto count = static_cast<double>(mask.sum().item<int64_t>());
    const Tensor loss = ((restored - target).square() * mask).sum() / count;
    const torch::NoGradGuard no_grad;
    // Of every cube's seen voxels.
    const Tensor seen = mask.logical_not();
    const Tensor mean = (target * seen).sum({1, 2, 3, 4}, true) / seen.sum({1, 2, 3, 4}, true);
    mean_ = (((mean - target).square() * mask).sum() / count).item<double>();
    return {{"masked", loss}};
  }

  // mse_of_mean: of predicting for every masked voxel the mean of its cube's seen ones. Of the last batch.
  std::vector<ivory::Measure> measures() const override {
    if (mean_ < 0) return {};
    return {{.name = "mse_of_mean", .value = mean_, .unit = "loss"}};
  }

 private:
  void draw(const std::array<int64_t, 3>& sides, ivory::CounterRandom& random, uint8_t* mask) const {
    std::array<int64_t, 3> blocks;
    for (size_t i = 0; i < 3; ++i) {
      IVORY_CHECK(sides[i] % block_ == 0, "mae-3d masks blocks of ", block_, " voxels, which must divide the cube's ",
                  sides[0], " x ", sides[1], " x ", sides[2]);
      blocks[i] = sides[i] / block_;
    }
    const int64_t count = blocks[0] * blocks[1] * blocks[2], masked = std::llround(ratio_ * static_cast<double>(count));
    IVORY_CHECK(masked > 0 && masked < count, "mae-3d with mask_ratio = ", ratio_, " masks ", masked, " of ", count,
                " blocks, expected at least one and not all: use smaller blocks or another ratio");
    std::vector<int64_t> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    std::vector<uint8_t> chosen(static_cast<size_t>(count), 0);
    for (int64_t i = 0; i < masked; ++i) {
      std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(i + random.below(count - i))]);
      chosen[static_cast<size_t>(order[static_cast<size_t>(i)])] = 1;
    }
    for (int64_t z = 0; z < sides[0]; ++z)
      for (int64_t y = 0; y < sides[1]; ++y)
        for (int64_t x = 0; x < sides[2]; ++x)
          *mask++ = chosen[static_cast<size_t>((z / block_ * blocks[1] + y / block_) * blocks[2] + x / block_)];
  }

  double ratio_;
  int64_t block_;
  nn::Restoration head_{nullptr};
  double mean_ = -1;
};

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "mae-3d",
      .summary = "Restoration of the masked blocks of cubes.",
      .source = "He et al., CVPR 2022; Wald et al., An OpenMind for 3D Medical Vision Self-Supervised Learning, 2024",
      .options = {{.name = "mask_ratio",
                   .fallback = 0.75,
                   .help = "Share of the blocks that is masked.",
                   .minimum = 0.01,
                   .maximum = 0.99},
                  {.name = "block",
                   .fallback = int64_t{16},
                   .help = "Side of a block.",
                   .minimum = 1,
                   .maximum = 256,
                   .unit = "voxels"}},
      .kinds = {ivory::SampleKind::volume},
      .create = [](const ivory::Options& options, const ivory::Objective::Context& context)
          -> std::shared_ptr<ivory::Objective> { return std::make_shared<Mae3d>(options, context); }});
}
