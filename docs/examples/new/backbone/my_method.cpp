// MyMethod: <paper, venue, year>.
// Starts as two convolutions with stride 2: replace them with your own network.
#include <ivory/plugin.h>

namespace {

using torch::Tensor;

class MyMethod : public ivory::Backbone {
 public:
  explicit MyMethod(const ivory::Options& options) : width_(options.get<int64_t>("width")) {
    const auto strided = [](int64_t in, int64_t out) {
      return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).stride(2).padding(1));
    };
    stage1_ = register_module("stage1", strided(1, width_));
    stage2_ = register_module("stage2", strided(width_, 2 * width_));
  }

  ivory::BackboneInfo info() const override {
    return {.input = ivory::Input::image,
            .levels = {{.width = width_, .stride = {1, 2, 2}}, {.width = 2 * width_, .stride = {1, 4, 4}}},
            .width = 2 * width_,
            .token_levels = 2};
  }

  // [N, 1, H, W] → levels [N, width, H/2, W/2] and [N, 2·width, H/4, W/4], pooled [N, 2·width]
  ivory::Features forward(const Tensor& images) override {
    const Tensor first = torch::relu(stage1_->forward(images));
    const Tensor second = torch::relu(stage2_->forward(first));
    return {.levels = {first, second}, .pooled = second.mean({2, 3})};
  }

 private:
  int64_t width_;
  torch::nn::Conv2d stage1_{nullptr}, stage2_{nullptr};
};

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Backbone>{
      .name = "my-method",
      .summary = "One sentence that says what kind of network my-method is.",
      .source = "<paper, venue, year>",
      .options = {{.name = "width", .fallback = int64_t{32}, .help = "Channels of the first level.", .minimum = 1}},
      .create = [](const ivory::Options& options, const ivory::Backbone::Context&) {
        return std::make_shared<MyMethod>(options);
      }});
}
