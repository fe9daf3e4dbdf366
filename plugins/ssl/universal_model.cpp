// Universal Model (Zhang et al., "Universal Model for 3D Medical Image Analysis", arXiv:2010.06107v1): cubes of several
// sizes and of two modalities are restored as in Models Genesis; a head tells the size that a cube was cut as, and
// another one the modality, whose gradient is reversed so that the encoder forgets it.
//   loss = MSE + 0.1 CE(scale) + 0.01 CE(modality),   scale and modality from the pooled feature
//   the reversal gives −λ g back for a gradient g, λ = 2 / (1 + e^(−10 p)) − 1, p the part of the stage that is done
#include <ivory/nn/gather.h>
#include <ivory/nn/perturb.h>
#include <ivory/nn/restoration.h>
#include <ivory/plugin.h>

#include <algorithm>
#include <cmath>

namespace {

namespace nn = ivory::nn;
using torch::Tensor;

constexpr uint64_t universal_stream = 0x756e6976;  // keeps these draws apart from the loader's
constexpr int64_t modality_width = 256;

class Reversal : public torch::autograd::Function<Reversal> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, double strength) {
    context->saved_data["strength"] = strength;
    return x.view_as(x);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    return {-context->saved_data["strength"].toDouble() * gradients[0], Tensor()};
  }
};

Tensor cross_entropy(const Tensor& scores, const Tensor& truth) {
  const Tensor precise = scores.to(torch::promoteTypes(torch::kFloat, scores.scalar_type()));
  return torch::nn::functional::cross_entropy(precise, truth);
}

Tensor accuracy(const Tensor& scores, const Tensor& truth) {
  return (scores.argmax(1) == truth).to(torch::kFloat).mean().detach();
}

class UniversalModel : public ivory::Objective {
 public:
  UniversalModel(const ivory::Options& options, const Context& context)
      : chain_(options),
        scale_weight_(options.get<double>("scale_weight")),
        modality_weight_(options.get<double>("modality_weight")),
        modalities_(context.modalities),
        scales_(context.sources) {
    head_ = register_module("head", nn::Restoration(context, "universal-model"));
    if (scale_weight_ > 0) {
      IVORY_CHECK(scales_ > 1, "universal-model tells the sizes that cubes were cut as, but got ",
                  std::max<int64_t>(1, scales_),
                  ": set [stage.views.volume] sources to two or more, or scale_weight = 0");
      scale_ = register_module("scale", torch::nn::Linear(context.width, scales_));
    }
    if (modality_weight_ > 0) {
      IVORY_CHECK(modalities_.size() == 2, "universal-model compares two modalities, but its data have ",
                  modalities_.size(), modalities_.size() == 1 ? " (" + modalities_[0] + ")" : "",
                  ": add data of another one, or set modality_weight = 0");
      modality_ =
          register_module("modality", torch::nn::Sequential(torch::nn::Linear(context.width, modality_width),
                                                            torch::nn::ReLU(), torch::nn::Linear(modality_width, 2)));
    }
  }

  std::vector<std::string> trains() const override { return {"encoder", "decoder"}; }
  std::vector<std::string> prepares() const override { return {"input", "target", "scale", "modality"}; }

  std::vector<Tensor> prepare(const ivory::Sample& sample) const override {
    const auto views = static_cast<int64_t>(sample.views.size());
    const Tensor targets = nn::grey_views(sample, "universal-model"),
                 inputs = torch::empty_like(targets);  // [V, 1, D, H, W]
    for (size_t v = 0; v < sample.views.size(); ++v) {
      const auto view = static_cast<int64_t>(v);
      ivory::CounterRandom random = sample.random(v, universal_stream);
      chain_.apply(nn::cube_of(targets[view]), nn::cube_of(inputs[view]), random);
    }
    nn::normalise(nn::cube_of(inputs));
    const Tensor scale = sample.sources.empty() ? torch::zeros({views}, torch::kLong) : torch::tensor(sample.sources);
    const bool second = modalities_.size() == 2 && sample.modality == modalities_[1];
    return {inputs, targets, scale, torch::full({views}, second ? 1 : 0, torch::kLong)};
  }

  void before_step(ivory::Model&, const ivory::StageContext& stage) override {
    group_ = stage.group;
    const double done = static_cast<double>(stage.step) / static_cast<double>(std::max<int64_t>(1, stage.total_steps));
    reversal_ = 2 / (1 + std::exp(-10 * done)) - 1;
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    IVORY_CHECK(batch.prepared.size() == 4, "universal-model needs batches that its prepare() has seen");
    const Tensor input = batch.prepared[0].flatten(0, 1), target = batch.prepared[1].flatten(0, 1);
    const ivory::Features features = model.embed(input);
    ivory::LossTerms terms = {{"restoration", error_.loss(head_->forward(model.decode(features)), target, input)}};
    if (scale_) add_scale(features.pooled, batch.prepared[2].flatten(), terms);
    if (modality_) add_modality(features.pooled, batch.prepared[3].flatten(), terms);
    return terms;
  }

  // mse_of_copying, mse_of_mean: as those of models-genesis. scale_accuracy, modality_accuracy: shares of the last
  // batch's cubes; the latter falls to a half where the encoder has forgotten the modality, or the head has died.
  std::vector<ivory::Measure> measures() const override {
    std::vector<ivory::Measure> all = error_.measures();
    const auto add = [&](const char* name, const Tensor& value, double chance) {
      if (value.defined())
        all.push_back({.name = name, .value = value.item<double>(), .compare = chance, .compare_label = "a guess"});
    };
    add("scale_accuracy", scale_accuracy_, 1 / static_cast<double>(std::max<int64_t>(1, scales_)));
    add("modality_accuracy", modality_accuracy_, 0.5);
    all.push_back({.name = "reversal", .value = reversal_});
    return all;
  }

 private:
  void add_scale(const Tensor& pooled, const Tensor& truth, ivory::LossTerms& terms) {
    const Tensor scores = scale_->forward(pooled);
    scale_accuracy_ = accuracy(scores, truth);
    terms.emplace_back("scale", scale_weight_ * cross_entropy(scores, truth));
  }

  // Of a joint batch with one modality there is nothing to tell: the term is left out.
  void add_modality(const Tensor& pooled, const Tensor& truth, ivory::LossTerms& terms) {
    Tensor count = torch::stack({truth.sum(), (1 - truth).sum()});
    group_->all_reduce_sum(count);
    const bool both = count.min().item<int64_t>() > 0;
    const Tensor scores = modality_->forward(Reversal::apply(pooled, reversal_));
    if (both) modality_accuracy_ = accuracy(scores, truth);
    // Zero, and still a part of the graph: in every process every parameter has a gradient.
    terms.emplace_back("modality", both ? modality_weight_ * cross_entropy(scores, truth) : 0 * scores.sum());
  }

  nn::GenesisChain chain_;
  double scale_weight_, modality_weight_;
  std::vector<std::string> modalities_;
  int64_t scales_;
  double reversal_ = 0;
  const ivory::Collective* group_ = &ivory::Collective::alone();
  nn::Restoration head_{nullptr};
  torch::nn::Linear scale_{nullptr};
  torch::nn::Sequential modality_{nullptr};
  nn::RestorationError error_;
  Tensor scale_accuracy_, modality_accuracy_;
};

std::vector<ivory::Option> options() {
  auto all = nn::GenesisChain::options();
  all.push_back({.name = "scale_weight",
                 .fallback = 0.1,
                 .help = "Weight of telling the size that a cube was cut as; 0 leaves it out.",
                 .minimum = 0,
                 .maximum = 100});
  all.push_back({.name = "modality_weight",
                 .fallback = 0.01,
                 .help = "Weight of the modality's reversed classification; 0 leaves it out.",
                 .minimum = 0,
                 .maximum = 100});
  return all;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "universal-model",
      .summary =
          "Restoration of cubes of several sizes and two modalities, with the size told and the modality unlearnt.",
      .source = "Zhang et al., Universal Model for 3D Medical Image Analysis, arXiv:2010.06107v1",
      .options = options(),
      .kinds = {ivory::SampleKind::volume},
      .create = [](const ivory::Options& options, const ivory::Objective::Context& context)
          -> std::shared_ptr<ivory::Objective> { return std::make_shared<UniversalModel>(options, context); }});
}
