// Models Genesis (Zhou et al., "Models Genesis: Generic Autodidactic Models for 3D Medical Image Analysis", MICCAI
// 2019, MedIA 2021): cubes are flipped, and then shuffled locally, mapped by a Bézier curve and painted; the network
// restores what they were.
//   loss = mean over all voxels of (σ(head(decoder(f(perturbed)))) − flipped cube)²
#include <ivory/nn/perturb.h>
#include <ivory/nn/restoration.h>
#include <ivory/plugin.h>

namespace {

namespace nn = ivory::nn;
using torch::Tensor;

constexpr uint64_t genesis_stream = 0x67656e65;  // keeps these draws apart from the loader's

class ModelsGenesis : public ivory::Objective {
 public:
  ModelsGenesis(const ivory::Options& options, const Context& context) : chain_(options) {
    head_ = register_module("head", nn::Restoration(context, "models-genesis"));
  }

  std::vector<std::string> trains() const override { return {"encoder", "decoder"}; }
  std::vector<std::string> prepares() const override { return {"input", "target"}; }

  std::vector<Tensor> prepare(const ivory::Sample& sample) const override {
    const Tensor targets = nn::grey_views(sample, "models-genesis"),
                 inputs = torch::empty_like(targets);  // [V, 1, D, H, W]
    for (size_t v = 0; v < sample.views.size(); ++v) {
      const auto view = static_cast<int64_t>(v);
      ivory::CounterRandom random = sample.random(v, genesis_stream);
      chain_.apply(nn::cube_of(targets[view]), nn::cube_of(inputs[view]), random);
    }
    nn::normalise(nn::cube_of(inputs));
    return {inputs, targets};
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    IVORY_CHECK(batch.prepared.size() == 2, "models-genesis needs batches that its prepare() has seen");
    const Tensor input = batch.prepared[0].flatten(0, 1), target = batch.prepared[1].flatten(0, 1);
    const Tensor restored = head_->forward(model.decode(model.embed(input)));
    return {{"restoration", error_.loss(restored, target, input)}};
  }

  // mse_of_copying: of the perturbed cube itself; mse_of_mean: of every cube's mean. Of this process's last batch.
  std::vector<ivory::Measure> measures() const override { return error_.measures(); }

 private:
  nn::GenesisChain chain_;
  nn::Restoration head_{nullptr};
  nn::RestorationError error_;
};

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "models-genesis",
      .summary = "Restoration of cubes that were shuffled, mapped by a curve and painted over.",
      .source = "Zhou et al., Models Genesis, MICCAI 2019 and Medical Image Analysis 2021",
      .options = nn::GenesisChain::options(),
      .kinds = {ivory::SampleKind::volume},
      .create = [](const ivory::Options& options, const ivory::Objective::Context& context)
          -> std::shared_ptr<ivory::Objective> { return std::make_shared<ModelsGenesis>(options, context); }});
}
