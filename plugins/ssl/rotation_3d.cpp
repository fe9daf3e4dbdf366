// 3D rotation prediction (Taleb et al., "3D Self-Supervised Methods for Medical Imaging", NeurIPS 2020): a cube is
// turned by one of ten rotations, and the network says by which.
//   label 0: the identity;  1, 2, 3: by 90°, 180°, 270° in the plane (x, y);  4, 5, 6 in (y, z);  7, 8, 9 in (x, z)
//   loss = CE(W f(rotated) + b, label),  f the model's pooled feature
// Turns by 90° are permutations of the voxels: nothing is resampled, which would betray the label.
#include <ivory/plugin.h>
#include <ivory/random.h>

#include <cmath>

namespace {

using torch::Tensor;

constexpr int64_t rotations = 10;
constexpr uint64_t rotation_stream = 0x726f7461;  // keeps these draws apart from the loader's

// One cube [1, D, H, W] with D = H = W. In (x, y) the first turn takes out[x, y] from in[y, n − 1 − x]; in (y, z) and
// (x, z) the last one does, as in the released code.
Tensor rotated(const Tensor& cube, int64_t label) {
  constexpr int64_t z = 1, y = 2, x = 3;
  if (label == 0) return cube;
  if (label <= 3) return torch::rot90(cube, label, {x, y});
  if (label <= 6) return torch::rot90(cube, 7 - label, {y, z});
  return torch::rot90(cube, 10 - label, {x, z});
}

class Rotation3d : public ivory::Objective {
 public:
  explicit Rotation3d(const Context& context) {
    head = register_module("head", torch::nn::Linear(context.width, rotations));
  }

  void before_step(ivory::Model&, const ivory::StageContext& stage) override {
    seed_ = ivory::mix(stage.seed, rotation_stream);
    step_ = static_cast<uint64_t>(stage.step);
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    const auto ids = batch.index.to(torch::kCPU);
    std::vector<Tensor> cubes, unchanged;
    std::vector<int64_t> labels;
    for (size_t v = 0; v < batch.views.size(); ++v) {
      const Tensor& view = batch.views[v].pixels;  // [B, 1, D, H, W]
      check(view);
      for (int64_t i = 0; i < view.size(0); ++i) {
        labels.push_back(draw(ids[i].item<int64_t>(), v));
        cubes.push_back(rotated(view[i], labels.back()));
        if (labels.back() != 0) unchanged.push_back((cubes.back() == view[i]).all());
      }
    }
    const Tensor truth = torch::tensor(labels).to(cubes.front().device());         // [V·B]
    const Tensor logits = head->forward(model.embed(torch::stack(cubes)).pooled);  // [V·B, 10]
    const Tensor scores = logits.scalar_type() == torch::kDouble ? logits : logits.to(torch::kFloat);
    hits_ = (scores.argmax(1) == truth).to(torch::kFloat).mean().detach();
    symmetric_ = unchanged.empty() ? torch::zeros({}) : torch::stack(unchanged).sum();
    return {{"rotation_3d", torch::nn::functional::cross_entropy(scores, truth)}};
  }

  // Of the last batch. accuracy: share of its cubes. symmetric: cubes that look the same after their turn, so that
  // nobody could tell it.
  std::vector<ivory::Measure> measures() const override {
    if (!hits_.defined()) return {};
    return {{.name = "accuracy", .value = hits_.item<double>(), .compare = 0.1, .compare_label = "a guess"},
            {.name = "symmetric", .value = symmetric_.item<double>(), .unit = "cubes"}};
  }
  double chance_loss() const override { return std::log(static_cast<double>(rotations)); }

 private:
  // A pure function of its arguments, the seed and the step: the same whatever the number of processes.
  int64_t draw(int64_t sample, size_t view) const {
    return ivory::CounterRandom(seed_, step_, static_cast<uint64_t>(sample), view).below(rotations);
  }

  static void check(const Tensor& view) {
    const bool cubic = view.dim() == 5 && view.size(2) == view.size(3) && view.size(3) == view.size(4);
    IVORY_CHECK(cubic, "rotation-3d needs cubes with three equal sides, but got views of shape ", view.sizes(),
                ": set [stage.views.volume] size to three equal numbers");
  }

  torch::nn::Linear head{nullptr};
  uint64_t seed_ = 0, step_ = 0;
  Tensor hits_, symmetric_;  // of the last forward
};

// Flips along two axes are a turn by 180°: with flips a network can tell four classes apart, not ten.
std::vector<std::string> advise(const ivory::Options&, const ivory::StageFacts& facts) {
  if (facts.flip == 0) return {};
  return {"rotation-3d cannot tell a turn by 180 degrees from flips: set [stage.views.volume] flip = 0"};
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "rotation-3d",
      .summary = "Classification of the rotation, one of ten, that a cube was turned by.",
      .source = "Taleb et al., 3D Self-Supervised Methods for Medical Imaging, NeurIPS 2020",
      .kinds = {ivory::SampleKind::volume},
      .advise = advise,
      .create = [](const ivory::Options&, const ivory::Objective::Context& context)
          -> std::shared_ptr<ivory::Objective> { return std::make_shared<Rotation3d>(context); }});
}
