// MyMethod: <paper, venue, year>.
// Starts as InfoNCE between two views of a slice or volume: replace the head, the loss and the options with your own.
#include <ivory/plugin.h>

namespace {

namespace F = torch::nn::functional;
using torch::Tensor;

class MyMethod : public ivory::Objective {
 public:
  MyMethod(const ivory::Options& options, const Context& context) : temperature_(options.get<double>("temperature")) {
    IVORY_CHECK(context.views == 2, "my-method needs 2 views of a sample, got ", context.views);
    head_ = register_module("head", torch::nn::Linear(context.width, options.get<int64_t>("width")));
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    const Tensor a = embed(model, batch.views[0]);             // [B, width]
    const Tensor b = embed(model, batch.views[1]);             // [B, width]
    const Tensor logits = torch::mm(a, b.t()) / temperature_;  // [B, B]
    const Tensor same = torch::arange(a.size(0), torch::TensorOptions(torch::kLong).device(a.device()));
    return {{"my-method", F::cross_entropy(logits, same)}};
  }

 private:
  // [B, 1, …] → unit vectors [B, width]
  Tensor embed(ivory::Model& model, const ivory::View& view) {
    return F::normalize(head_->forward(model.embed(view.pixels).pooled), F::NormalizeFuncOptions().dim(1));
  }

  double temperature_;
  torch::nn::Linear head_{nullptr};
};

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "my-method",
      .summary = "One sentence that says what my-method minimises.",
      .source = "<paper, venue, year>",
      .options = {{.name = "width", .fallback = int64_t{128}, .help = "Width of the embedding.", .minimum = 1},
                  {.name = "temperature", .fallback = 0.1, .help = "Temperature of the softmax.", .minimum = 1e-4}},
      .kinds = {ivory::SampleKind::slice, ivory::SampleKind::volume},
      .create = [](const ivory::Options& options, const ivory::Objective::Context& context) {
        return std::make_shared<MyMethod>(options, context);
      }});
}
