// PCRL on slices: Zhou et al., "Preservational Learning Improves Self-supervised Medical Image Models by Reconstructing
// Diverse Contexts", ICCV 2021, as the authors' code has it.
//
// A view g is a crop; x = g turned a little, mirrored, brighter or darker, blurred, with holes; y = x mirrored and
// turned by a random code. Beside the network runs its moving average (levels e'); a(code) in (0, 1) scales the deepest
// level:
//   y1                ← decode(e(x1) · a(code1))
//   α y1 + (1 − α) y2 ← decode(α e(x1) · a(code1) + (1 − α) e'(x2) · a(code2))
// and both once more with mixed-up inputs λ x + (1 − λ) x[other], without a, towards mixed-up g. Beside these four mean
// squares three contrasts of unit vectors q and k' against a bank of earlier keys: (q, k), (q mixed, k mixed) and
// (q mixed, λ k + (1 − λ) k[other]):
//   −ln o₊ / (o₊ + h + 1e-5) − Σ ln h / (o₋ + h + 1e-5),   o = exp(cos / τ) / Z,  h = bank / samples
#include <ivory/nn/clustering.h>
#include <ivory/nn/ema_twin.h>
#include <ivory/nn/feature_queue.h>
#include <ivory/nn/unet.h>
#include <ivory/nn/view_comparison.h>
#include <ivory/plugin.h>
#include <ivory/random.h>

#include <cmath>
#include <numbers>

namespace {

namespace nn = ivory::nn;
using torch::Tensor;

constexpr uint64_t view_stream = 0x7063726c, mix_stream = 0x70637278;
constexpr int64_t code_width = 6;
constexpr double epsilon = 1e-5;

// What is done to one crop.
struct Drawn {
  double angle = 0, brightness = 1, contrast = 1, sigma = 0;
  bool mirror = false, code_rows = false, code_columns = false;
  int64_t code_turns = 0;
  std::array<std::array<double, 2>, 3> holes = {};  // upper left corners, as shares of what is left beside a hole
};

Drawn draw(ivory::CounterRandom random) {
  Drawn drawn{.angle = random.uniform(-10, 10) * std::numbers::pi / 180};
  drawn.mirror = random.chance(0.5);
  const double brightness = random.uniform(0.6, 1.4), contrast = random.uniform(0.6, 1.4);
  if (random.chance(0.8)) drawn.brightness = brightness, drawn.contrast = contrast;
  const double sigma = random.uniform(0.1, 2);
  if (random.chance(0.5)) drawn.sigma = sigma;
  for (auto& hole : drawn.holes) hole = {random.uniform(), random.uniform()};
  drawn.code_rows = random.chance(0.5);
  drawn.code_columns = random.chance(0.5);
  drawn.code_turns = random.below(4);
  return drawn;
}

Tensor turned(const Tensor& image, double angle) {  // [1, H, W], square; the borders go on
  const double c = std::cos(angle), s = std::sin(angle);
  const Tensor map = torch::tensor({{{c, -s, 0.0}, {s, c, 0.0}}}, torch::kDouble).to(image.options());
  const Tensor grid = at::affine_grid_generator(map, {1, 1, image.size(1), image.size(2)}, /*align_corners=*/false);
  return at::grid_sampler_2d(image.unsqueeze(0), grid, /*bilinear*/ 0, /*border*/ 1, false).squeeze(0);
}

Tensor blurred(const Tensor& image, double sigma) {
  const auto radius = static_cast<int64_t>(std::min(std::ceil(3 * sigma), static_cast<double>(image.size(1) - 1)));
  Tensor weight = torch::exp(-0.5 * (torch::arange(-radius, radius + 1, image.options()) / sigma).square());
  weight = (weight / weight.sum()).view({1, 1, -1, 1});
  const Tensor padded = at::replication_pad2d(image.unsqueeze(0), {radius, radius, radius, radius});
  return at::conv2d(at::conv2d(padded, weight), weight.transpose(2, 3)).squeeze(0);
}

// Normalised grey values lie in [−2, 2].
Tensor augmented(const Tensor& crop, const Drawn& drawn) {
  Tensor x = turned(crop, drawn.angle);
  if (drawn.mirror) x = x.flip(2);
  const Tensor grey = (x + 2) / 4, mean = grey.mean();
  x = (((grey - mean) * drawn.contrast + mean) * drawn.brightness).clamp(0, 1) * 4 - 2;
  if (drawn.sigma > 0) x = blurred(x, drawn.sigma);
  const int64_t hole = std::max<int64_t>(1, x.size(1) / 7);  // 32 of 224 pixels
  x = x.clone();
  for (const auto& [down, right] : drawn.holes) {
    const auto row = static_cast<int64_t>(down * static_cast<double>(x.size(1) - hole + 1));
    const auto column = static_cast<int64_t>(right * static_cast<double>(x.size(2) - hole + 1));
    x.narrow(1, row, hole).narrow(2, column, hole).fill_(-2);
  }
  return x;
}

Tensor coded(const Tensor& x, const Drawn& drawn) {
  Tensor y = x;
  if (drawn.code_rows) y = y.flip(1);
  if (drawn.code_columns) y = y.flip(2);
  return torch::rot90(y, drawn.code_turns, {1, 2});
}

Tensor code_of(const Drawn& drawn) {
  std::vector<double> code(code_width, 0);
  code[0] = drawn.code_rows, code[1] = drawn.code_columns, code[static_cast<size_t>(2 + drawn.code_turns)] = 1;
  return torch::tensor(code, torch::kDouble);
}

// Neighbours change places: batches are shuffled already, and so it does not matter which process has them.
Tensor other(const Tensor& x) {
  const int64_t even = x.size(0) / 2 * 2;
  const Tensor swapped = x.narrow(0, 0, even).unflatten(0, {even / 2, 2}).flip(1).flatten(0, 1);
  return even == x.size(0) ? swapped : torch::cat({swapped, x.narrow(0, even, 1)});
}
Tensor mixed(const Tensor& a, const Tensor& b, double share) {
  return share * a + (1 - share) * b;
}

class Pcrl : public ivory::Objective {
 public:
  Pcrl(const ivory::Options& options, const Context& context)
      : temperature_(options.get<double>("temperature")), samples_(context.samples), momentum_(options) {
    nn::check_pairs("pcrl-2d", context);
    const int64_t dense = context.model ? context.model->dense_width() : 0;
    IVORY_CHECK(dense > 0, "pcrl-2d restores images, which needs a decoder: set [model] name = \"encoder-decoder\"");
    const auto width = options.get<int64_t>("embedding_width"), bank = options.get<int64_t>("bank");
    IVORY_CHECK(bank % std::max<int64_t>(context.batch_size, 1) == 0, "pcrl-2d: bank = ", bank,
                " must be a multiple of the batch size over all processes, which is ", context.batch_size);
    nn::check_memory(c10::str("pcrl-2d: bank = ", bank), 4.0 * static_cast<double>(bank * width));
    const nn::HeadSpec spec{.widths = {context.width, width, width}, .norm = nn::HeadSpec::Norm::none};
    head_ = register_module("head", nn::comparison_head(spec));
    attention_ = register_module("attention", nn::comparison_head({.widths = {code_width, 256, context.width},
                                                                   .norm = nn::HeadSpec::Norm::none}));
    output_ = register_module("output", nn::segmentation_head(dense, 1, /*volumes=*/false));
    key_head_ = nn::comparison_head(spec);
    key_model_ = context.fresh_model();
    model_twin_ = register_module("key_model", std::make_shared<nn::EmaTwin>(key_model_));
    head_twin_ = register_module("key_head", std::make_shared<nn::EmaTwin>(key_head_.ptr()));
    bank_ = register_module("bank", nn::FeatureQueue(1, bank, width));
    bank_->store.copy_((2 * torch::rand({bank, width}) - 1) * std::sqrt(3.0 / static_cast<double>(width)));
    scale_ = register_buffer("scale", torch::zeros({}));  // Z; 0 before the first step
  }

  void before_training(ivory::Model& model, const ivory::StageContext& stage) override {
    group_ = stage.group;
    samples_ = stage.samples;
    model_twin_->start(model);
    head_twin_->start(*head_);
  }
  void before_step(ivory::Model&, const ivory::StageContext& stage) override {
    group_ = stage.group;
    seed_ = stage.seed;
    step_ = static_cast<uint64_t>(stage.step);
    micro_ = 0;
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    const Inputs one = inputs(batch, 0), two = inputs(batch, 1);
    ivory::CounterRandom random(ivory::mix(seed_, mix_stream), step_, micro_++, 0);
    const auto share = [&random] {
      const double u = random.uniform();
      return std::max(u, 1 - u);
    };
    const double lambda = share(), alpha = share(), alpha_mixed = share();
    const auto mix_up = [lambda](const Tensor& x) { return mixed(x, other(x), lambda); };

    const ivory::Features own = model.embed(one.x), own_mixed = model.embed(mix_up(one.x));
    const auto [keys, key_levels] = follow(two.x);
    const auto [keys_mixed, key_levels_mixed] = follow(mix_up(two.x));
    const Tensor attended = attend(own.levels.back(), one.code);
    const Tensor target = mix_up(one.g);
    Tensor restoration = distance(model, with_deepest(own.levels, attended), one.y) +
                         distance(model,
                                  blended(with_deepest(own.levels, attended),
                                          with_deepest(key_levels, attend(key_levels.back(), two.code)), alpha),
                                  mixed(one.y, two.y, alpha)) +
                         distance(model, own_mixed.levels, target) +
                         distance(model, blended(own_mixed.levels, key_levels_mixed, alpha_mixed),
                                  mixed(target, mix_up(two.g), alpha_mixed));
    restoration = restoration / 4;

    const Tensor q = nn::unit_rows(head_->forward(own.pooled)),
                 q_mixed = nn::unit_rows(head_->forward(own_mixed.pooled));
    Tensor contrast = nce(q, keys);
    contrast = contrast + nce(q_mixed, keys_mixed);
    contrast = (contrast + nce(q_mixed, nn::unit_rows(mix_up(keys)))) / 3;
    embeddings_ = q.detach();
    return {{"contrast", contrast}, {"restoration", restoration}};
  }

  void after_step(ivory::Model& model, const ivory::StageContext& stage) override {
    const double decay = momentum_.at(stage.step, stage.total_steps);
    model_twin_->follow(model, decay);
    head_twin_->follow(*head_, decay);
  }

  std::vector<ivory::Measure> measures() const override {
    if (!embeddings_.defined()) return {};
    return {nn::embedding_rank(embeddings_)};
  }

 private:
  using Levels = std::vector<Tensor>;
  struct Inputs {
    Tensor g, x, y;  // [B, 1, S, S]
    Tensor code;     // [B, 6]
  };

  Inputs inputs(const ivory::Batch& batch, size_t view) const {
    const torch::NoGradGuard no_grad;
    const Tensor& crops = batch.views[view].pixels;
    IVORY_CHECK(crops.size(2) == crops.size(3), "pcrl-2d needs square crops, but got ", crops.sizes());
    const Tensor ids = batch.index.to(torch::kCPU);
    Levels x, y, codes;
    for (int64_t i = 0; i < crops.size(0); ++i) {
      const auto id = static_cast<uint64_t>(ids[i].item<int64_t>());
      const Drawn drawn = draw({ivory::mix(seed_, view_stream), step_, id, view});
      x.push_back(augmented(crops[i].to(torch::promoteTypes(torch::kFloat, crops.scalar_type())), drawn));
      y.push_back(coded(x.back(), drawn));
      codes.push_back(code_of(drawn));
    }
    return {crops, torch::stack(x), torch::stack(y), torch::stack(codes).to(x[0].options())};
  }

  // Keys and levels of the moving average.
  std::pair<Tensor, Levels> follow(const Tensor& x) {
    const torch::NoGradGuard no_grad;
    const ivory::Features features = key_model_->embed(x);
    return {nn::unit_rows(key_head_->forward(features.pooled)), features.levels};
  }

  Tensor attend(const Tensor& level, const Tensor& code) {
    return level * attention_->forward(code).sigmoid().unsqueeze(2).unsqueeze(3);
  }
  static Levels with_deepest(Levels levels, const Tensor& deepest) {
    levels.back() = deepest;
    return levels;
  }
  static Levels blended(Levels levels, const Levels& others, double alpha) {
    for (size_t l = 0; l < levels.size(); ++l) levels[l] = mixed(levels[l], others[l], alpha);
    return levels;
  }
  Tensor distance(ivory::Model& model, const Levels& levels, const Tensor& target) {
    const Tensor made = output_->forward(model.decode({.levels = levels}));
    return (made.to(target.scalar_type()) - target).square().mean();
  }

  // Mean over q's rows; the keys then enter the bank.
  Tensor nce(const Tensor& q, const Tensor& keys) {
    const Tensor store = bank_->features(0).detach().clone().to(q.scalar_type());
    const Tensor positive = ((q * keys.to(q.scalar_type())).sum(1, true) / temperature_).exp();
    const Tensor negative = (nn::cosine_scores(q, store) / temperature_).exp();
    if (scale_.item<double>() == 0) {
      Tensor mean = torch::cat({positive, negative}, 1).detach().mean().reshape({1});
      group_->all_reduce_sum(mean);
      scale_.copy_(mean.squeeze(0) / static_cast<double>(group_->world_size()) * static_cast<double>(samples_));
    }
    const double chance = static_cast<double>(store.size(0)) / static_cast<double>(std::max<int64_t>(samples_, 1));
    const Tensor z = scale_.to(q.scalar_type());
    const Tensor same = positive / z, others = negative / z;
    const Tensor loss =
        (same / (same + chance + epsilon)).log().sum(1) + (chance / (others + chance + epsilon)).log().sum(1);
    if (is_training()) bank_->push({group_->all_gather(keys).to(bank_->store.scalar_type())});
    return -loss.mean();
  }

  double temperature_;
  int64_t samples_;
  uint64_t seed_ = 0, step_ = 0, micro_ = 0;
  nn::MomentumSchedule momentum_;
  const ivory::Collective* group_ = &ivory::Collective::alone();
  Tensor embeddings_, scale_;
  torch::nn::Sequential head_{nullptr}, attention_{nullptr}, output_{nullptr}, key_head_{nullptr};
  std::shared_ptr<ivory::Model> key_model_;
  std::shared_ptr<nn::EmaTwin> model_twin_, head_twin_;
  nn::FeatureQueue bank_{nullptr};
};

std::vector<ivory::Option> options() {
  auto declared = nn::MomentumSchedule::options(0.999, "constant");
  declared.push_back({.name = "bank",
                      .fallback = int64_t{16384},
                      .help = "Earlier keys that an embedding is compared with, a multiple of the batch size.",
                      .minimum = 1,
                      .unit = "samples"});
  declared.push_back(
      {.name = "embedding_width", .fallback = int64_t{128}, .help = "Width of the embeddings.", .minimum = 2});
  declared.push_back(
      {.name = "temperature", .fallback = 0.2, .help = "Temperature τ of the contrast.", .minimum = 1e-2});
  return declared;
}

std::vector<std::string> advise(const ivory::Options&, const ivory::StageFacts& facts) {
  if (facts.flip == 0) return {};
  return {
      "pcrl-2d mirrors, brightens and blurs its crops itself: set [stage.views.slice] flip = 0, intensity = 0, blur = "
      "0"};
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "pcrl-2d",
      .summary = "Contrast against a bank of keys, and restoration of transformed and mixed-up slices.",
      .source = "Zhou et al., Preservational Learning Improves Self-supervised Medical Image Models, ICCV 2021",
      .options = options(),
      .advise = advise,
      .create = [](const ivory::Options& values, const ivory::Objective::Context& context) {
        return std::make_shared<Pcrl>(values, context);
      }});
}
