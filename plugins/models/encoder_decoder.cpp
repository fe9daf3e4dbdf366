// A backbone of images or of volumes with a U-Net decoder (Ronneberger et al., MICCAI 2015), for objectives that
// restore, and for tasks that continue with the pre-trained decoder. Parts: "encoder", "decoder".
#include <ivory/nn/unet.h>
#include <ivory/plugin.h>

namespace {

using namespace ivory;

class EncoderDecoder : public Model {
 public:
  EncoderDecoder(std::shared_ptr<Backbone> backbone, const std::vector<int64_t>& decoder_channels)
      : kind_(backbone->info().input == Input::image ? SampleKind::slice : SampleKind::volume) {
    const auto info = backbone->info();
    encoder_ = register_module("encoder", std::move(backbone));
    decoder_ = register_module("decoder", std::make_shared<nn::UNetDecoder>(info, decoder_channels));
  }

  int64_t width(SampleKind kind) const override { return kind == kind_ ? encoder_->info().width : 0; }
  int64_t dense_width() const override { return decoder_->width(); }
  std::shared_ptr<Backbone> encoder(SampleKind kind) const override { return kind == kind_ ? encoder_ : nullptr; }

  Features embed(const torch::Tensor& samples) override {
    IVORY_CHECK(kind_of(samples) == kind_, "the model 'encoder-decoder' has a backbone of ",
                kind_ == SampleKind::slice ? "images" : "volumes", ", but got samples of shape ", samples.sizes());
    return encoder_->forward(samples);
  }

  torch::Tensor decode(const Features& features) override { return decoder_->forward(features.levels); }

 private:
  SampleKind kind_;
  std::shared_ptr<Backbone> encoder_;
  std::shared_ptr<nn::UNetDecoder> decoder_;
};

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(Descriptor<Model>{
      .name = "encoder-decoder",
      .summary = "A backbone of images or of volumes with the decoder of a U-Net.",
      .source = "Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, MICCAI 2015",
      .options = {nn::decoder_channels_option()},
      .roles = {{.name = "backbone",
                 .inputs = {Input::image, Input::volume},
                 .help = "Images or volumes -> features of several levels."}},
      .create = [](const Options& options, const Model::Context& context) -> std::shared_ptr<Model> {
        return std::make_shared<EncoderDecoder>(context.backbone("backbone", {.size = context.size}),
                                                options.get<std::vector<int64_t>>("decoder_channels"));
      }});
}
