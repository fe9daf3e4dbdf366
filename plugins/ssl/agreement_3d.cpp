// Clustering agreement between two transformations of a volume (Nguyen et al., AAAI 2023, Eq. 11–12): the slices' SwAV
// with the holistic feature Z of f_inter in place of z, straight on bias-free prototypes D → H, without a projection
// head.
#include <ivory/nn/swapped_prediction.h>
#include <ivory/plugin.h>

namespace {

using torch::Tensor;

class Agreement3D : public ivory::Objective {
 public:
  Agreement3D(const ivory::Options& options, const Context& context) {
    IVORY_CHECK(context.volume_views == 0 || context.volume_views >= 2,
                "agreement-3d compares at least 2 views of a volume, but the stage's views have ",
                context.volume_views);
    clustering = register_module(
        "clustering", ivory::nn::SwappedPrediction(
                          ivory::nn::swapped_prediction_spec(options, context.token_width, /*assignment_views=*/2),
                          context.samples, context.batch_size));
  }

  ivory::SampleKind kind() const override { return ivory::SampleKind::volume; }
  Trains trains() const override { return {}; }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    const Tensor holistic = model.embed(torch::cat(batch.views)).pooled;  // [V·B, D], unit rows
    return {{"agreement_3d", clustering(holistic, static_cast<int64_t>(batch.views.size()))}};
  }

  void before_training(ivory::Model&, const ivory::StageContext& stage) override { clustering->before_training(stage); }
  void before_step(ivory::Model&, const ivory::StageContext& stage) override { clustering->before_step(stage); }
  void after_backward(ivory::Model&, const ivory::StageContext& stage) override { clustering->after_backward(stage); }
  void after_step(ivory::Model&, const ivory::StageContext& stage) override { clustering->after_step(stage); }
  ivory::Diagnostics diagnostics() const override { return clustering->diagnostics(); }
  double plateau() const override { return clustering->plateau(); }

 private:
  ivory::nn::SwappedPrediction clustering{nullptr};
};

std::vector<ivory::Option> options() {
  auto declared = ivory::nn::swapped_prediction_options(/*freeze_steps=*/-1);
  declared.push_back({.name = "codes",
                      .fallback = std::string("swav"),
                      .help = "How volumes are assigned to prototypes.",
                      .choices = {"swav"}});
  return declared;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "agreement-3d",
      .summary = "Clustering agreement between transformations of a volume.",
      .source = "Nguyen et al., AAAI 2023, Eq. 11-12",
      .options = options(),
      .create = [](const ivory::Options& values, const ivory::Objective::Context& context)
          -> std::shared_ptr<ivory::Objective> { return std::make_shared<Agreement3D>(values, context); }});
}
