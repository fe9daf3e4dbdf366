// A backbone of images or of volumes by itself, as the one part "encoder": what most self-supervised methods train.
#include <ivory/plugin.h>

namespace {

using namespace ivory;

class Encoder : public Model {
 public:
  explicit Encoder(std::shared_ptr<Backbone> backbone)
      : kind_(backbone->info().input == Input::image ? SampleKind::slice : SampleKind::volume),
        both_(backbone->info().also_volumes) {
    encoder_ = register_module("encoder", std::move(backbone));
  }

  int64_t width(SampleKind kind) const override { return takes(kind) ? encoder_->info().width : 0; }

  Features embed(const torch::Tensor& samples) override {
    IVORY_CHECK(takes(kind_of(samples)), "the model 'encoder' has a backbone of ",
                kind_ == SampleKind::slice ? "images" : "volumes", ", but got samples of shape ", samples.sizes());
    return encoder_->forward(samples);
  }

  std::shared_ptr<Backbone> encoder(SampleKind kind) const override { return takes(kind) ? encoder_ : nullptr; }

 private:
  bool takes(SampleKind kind) const { return both_ || kind == kind_; }

  SampleKind kind_;
  bool both_;
  std::shared_ptr<Backbone> encoder_;
};

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(
      Descriptor<Model>{.name = "encoder",
                        .summary = "A backbone of images or of volumes by itself.",
                        .source = "",
                        .roles = {{.name = "backbone",
                                   .inputs = {Input::image, Input::volume},
                                   .help = "Images or volumes -> features."}},
                        .create = [](const Options&, const Model::Context& context) -> std::shared_ptr<Model> {
                          return std::make_shared<Encoder>(context.backbone("backbone", {.size = context.size}));
                        }});
}
