// MyMethod: <paper, venue, year>.
// Starts as segmentation by one linear map of the deepest level: replace model, loss and scores with your own.
#include <ivory/metrics.h>
#include <ivory/plugin.h>

namespace {

namespace F = torch::nn::functional;
using torch::Tensor;

class MyMethod : public ivory::Task {
 public:
  MyMethod(const ivory::Options& options, const Context& context)
      : smoothing_(options.get<double>("label_smoothing")),
        classes_(context.classes),
        overlaps_(context.classes.size()) {
    const auto encoder = context.model->encoder(ivory::SampleKind::slice);
    IVORY_CHECK(encoder, "my-method needs a model with a backbone of slices");
    backbone_ = register_module("backbone", encoder);
    const auto outputs = static_cast<int64_t>(classes_.size()) + 1;  // and the background
    head_ = register_module(
        "head", torch::nn::Conv2d(torch::nn::Conv2dOptions(backbone_->info().levels.back().width, outputs, 1)));
  }

  ivory::TaskNeeds needs() const override { return {.unit = ivory::SampleKind::slice, .target = ivory::Target::masks}; }

  Tensor loss(const ivory::TaskBatch& batch) override {
    const auto options = F::CrossEntropyFuncOptions().label_smoothing(smoothing_);
    return F::cross_entropy(logits(batch.images.pixels), batch.masks, options);
  }

  void evaluate(const ivory::TaskBatch& batch) override {
    const Tensor predicted = logits(batch.images.pixels).argmax(1);  // [B, H, W]
    for (size_t i = 0; i < classes_.size(); ++i) {
      const auto id = static_cast<int64_t>(i) + 1;
      overlaps_[i].add(predicted == id, batch.masks == id);
    }
  }

  ivory::Scores scores() override {
    ivory::Scores result;
    result.values = {{.name = "dice", .value = 0}};
    for (size_t i = 0; i < classes_.size(); ++i) {
      const double dice = overlaps_[i].dice();
      result.values[0].value += dice / static_cast<double>(classes_.size());
      result.values.push_back({.name = "dice/" + classes_[i], .value = dice});
    }
    overlaps_.assign(classes_.size(), {});
    return result;
  }

  std::vector<ivory::Picture> pictures(const ivory::TaskBatch&, int64_t) override { return {}; }

 private:
  // [B, 1, H, W] → [B, classes + 1, H, W]
  Tensor logits(const Tensor& images) {
    const Tensor coarse = head_->forward(backbone_->forward(images).levels.back());
    const auto size = std::vector<int64_t>{images.size(2), images.size(3)};
    return F::interpolate(coarse, F::InterpolateFuncOptions().size(size).mode(torch::kBilinear).align_corners(false));
  }

  double smoothing_;
  std::vector<std::string> classes_;
  std::vector<ivory::Overlap> overlaps_;
  std::shared_ptr<ivory::Backbone> backbone_;
  torch::nn::Conv2d head_{nullptr};
};

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(
      ivory::Descriptor<ivory::Task>{.name = "my-method",
                                     .summary = "One sentence that says what my-method predicts and how it is scored.",
                                     .source = "<paper, venue, year>",
                                     .options = {{.name = "label_smoothing",
                                                  .fallback = 0.0,
                                                  .help = "Share of the target spread over all classes.",
                                                  .minimum = 0,
                                                  .maximum = 1}},
                                     .create = [](const ivory::Options& options, const ivory::Task::Context& context) {
                                       return std::make_shared<MyMethod>(options, context);
                                     }});
}
