// An autoencoder of volumes without skips: what passes through the deepest level is all that the decoder gets. Its
// pooled feature describes a volume; TransVW finds patients that look alike by it.
//   loss = mean over all voxels of (σ(decoder(f(x))) − x)²
#include <ivory/nn/restoration.h>
#include <ivory/plugin.h>

namespace {

namespace nn = ivory::nn;
using torch::Tensor;

class VolumeAutoencoder : public ivory::Objective {
 public:
  explicit VolumeAutoencoder(const Context& context) {
    const auto encoder = context.model ? context.model->encoder(ivory::SampleKind::volume) : nullptr;
    IVORY_CHECK(
        encoder && !encoder->info().levels.empty(),
        "volume-autoencoder needs a model with a network of volumes that has feature maps, but [model] has none");
    decoder = register_module("decoder", nn::light_decoder(encoder->info().levels.back(), "volume-autoencoder"));
  }

  std::vector<std::string> trains() const override { return {"encoder"}; }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    const Tensor volumes = torch::cat(ivory::pixels_of(batch));
    const Tensor deepest = model.embed(volumes).levels.back();
    nn::check_light_decoder(deepest, "volume-autoencoder");
    const Tensor out = decoder->forward(deepest);
    const Tensor restored = torch::sigmoid(out.to(torch::promoteTypes(torch::kFloat, out.scalar_type())));
    return {{"restoration", error_.loss(restored, volumes.to(restored.scalar_type()) * 0.25 + 0.5, volumes)}};
  }

  // mse_of_mean: of every volume's mean. Of the last batch.
  std::vector<ivory::Measure> measures() const override {
    auto all = error_.measures();
    if (!all.empty()) all.erase(all.begin());  // copying is no baseline here: it is the task
    return all;
  }

 private:
  torch::nn::Sequential decoder{nullptr};
  nn::RestorationError error_;
};

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "volume-autoencoder",
      .summary = "Restoration of volumes from the deepest level of a network alone.",
      .source = "Haghighi et al., Transferable Visual Words, IEEE TMI 2021 (discovery)",
      .kinds = {ivory::SampleKind::volume},
      .create = [](const ivory::Options&, const ivory::Objective::Context& context)
          -> std::shared_ptr<ivory::Objective> { return std::make_shared<VolumeAutoencoder>(context); }});
}
