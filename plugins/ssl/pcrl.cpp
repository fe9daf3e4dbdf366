// PCRL in 3D (Zhou et al., "Preservational Learning Improves Self-Supervised Medical Image Models by Reconstructing
// Diverse Contexts", ICCV 2021): two views of a volume are contrasted with those of other volumes, and from the
// features of one, of both blended, and of mixed samples, the network draws what a code asks for.
//   view x = blur, shuffle, paint of the moved crop;  m = x flipped and turned as the code t says;  g = the moved crop
//   plain:   r  = dec(f(x1), bottleneck × a(t1)) → m1;   r_α = dec(α f(x1) + (1 − α) f̄(x2)) → α m1 + (1 − α) m2
//   mixed:   x ← λ x + (1 − λ) x[π], without a code:  → λ g1 + (1 − λ) g1[π], and blended again with α2
//   loss = mean of these four MSE + mean{ℓ(q, k), ℓ(q_mix, k_mix), ℓ(q_mix, λ k + (1 − λ) k[π])}
// q = head(f(x1)); k = head̄(f̄(x2)) of the EMA twin; ℓ compares with k and with a bank of earlier k.
#include <ivory/nn/ema_twin.h>
#include <ivory/nn/perturb.h>
#include <ivory/nn/restoration.h>
#include <ivory/plugin.h>

#include <cmath>
#include <cstring>
#include <numbers>
#include <numeric>

namespace {

namespace nn = ivory::nn;
using torch::Tensor;

constexpr uint64_t view_stream = 0x7063726c, coin_stream = 0x636f696e, mix_stream = 0x6d697870;
constexpr int64_t code_width = 7, embedding_width = 128, attention_width = 256;
constexpr double release_epsilon = 1e-5;

Tensor unit(const Tensor& rows) {
  const Tensor precise = rows.to(torch::promoteTypes(torch::kFloat, rows.scalar_type()));
  return torch::nn::functional::normalize(precise, torch::nn::functional::NormalizeFuncOptions().dim(1));
}

torch::nn::Sequential projection(int64_t width) {
  return torch::nn::Sequential(torch::nn::Linear(width, embedding_width), torch::nn::ReLU(),
                               torch::nn::Linear(embedding_width, embedding_width));
}

class Pcrl : public ivory::Objective {
 public:
  Pcrl(const ivory::Options& options, const Context& context)
      : temperature_(options.get<double>("temperature")),
        released_nce_(options.get<std::string>("nce") == "released"),
        released_targets_(options.get<std::string>("targets") == "released"),
        rotation_(options.get<double>("rotation") * std::numbers::pi / 180),
        scale_(options.get<double>("scale")),
        momentum_(options) {
    IVORY_CHECK(context.views == 0 || context.views == 2, "pcrl compares 2 views of a volume, but got ", context.views);
    IVORY_CHECK(
        context.batch_size != 1,
        "pcrl mixes each sample with another one of its batch, but got a batch of 1: set batch_size to 2 or more");
    restoration = register_module("restoration", nn::Restoration(context, "pcrl"));
    const int64_t width = context.width;
    const int64_t bottleneck = context.model->encoder(ivory::SampleKind::volume)->info().levels.back().width;
    head = register_module("head", projection(width));
    attention = register_module(
        "attention", torch::nn::Sequential(torch::nn::Linear(code_width, attention_width), torch::nn::ReLU(),
                                           torch::nn::Linear(attention_width, bottleneck), torch::nn::Sigmoid()));
    twin_network_ = context.fresh_model();
    twin_head_ = projection(width);
    twin = register_module("twin", std::make_shared<nn::EmaTwin>(twin_network_));
    twin_head = register_module("twin_head", std::make_shared<nn::EmaTwin>(twin_head_.ptr()));
    const int64_t rows = options.get<int64_t>("bank");
    const double bound = std::sqrt(3.0 / embedding_width);
    bank = register_buffer("bank", torch::empty({rows, embedding_width}).uniform_(-bound, bound));
    next = register_buffer("next", torch::zeros({}, torch::kLong));
    scale_of_nce = register_buffer("scale_of_nce", torch::zeros({}));
  }

  std::vector<std::string> trains() const override { return {"encoder", "decoder"}; }
  std::vector<std::string> prepares() const override { return {"input", "target", "moved", "code"}; }

  std::vector<Tensor> prepare(const ivory::Sample& sample) const override {
    const Tensor clean = nn::grey_views(sample, "pcrl");  // [2, 1, D, H, W]
    IVORY_CHECK(clean.size(0) == 2, "pcrl compares 2 views of a volume, but got ", clean.size(0));
    const Tensor input = torch::empty_like(clean), target = torch::empty_like(clean), moved = torch::empty_like(clean);
    const Tensor code = torch::zeros({2, code_width});
    ivory::CounterRandom coin = sample.random(0, coin_stream);
    const bool inside = coin.chance(0.5);
    for (int64_t v = 0; v < 2; ++v) {
      ivory::CounterRandom random = sample.random(static_cast<size_t>(v), view_stream);
      const nn::Cube plain = nn::cube_of(moved[v]), view = nn::cube_of(input[v]), asked = nn::cube_of(target[v]);
      std::ranges::copy(nn::cube_of(clean[v]).voxels, view.voxels.begin());
      nn::move(view, draw_movement(random));
      std::ranges::copy(released_targets_ ? nn::cube_of(clean[v]).voxels : view.voxels, plain.voxels.begin());
      perturb(view, inside, random);
      std::ranges::copy(view.voxels, asked.voxels.begin());
      ask(asked, code.data_ptr<float>() + v * code_width, random);
    }
    nn::normalise(nn::cube_of(input));
    return {input, target, moved, code};
  }

  void before_training(ivory::Model& model, const ivory::StageContext& stage) override {
    group_ = stage.group;
    batches_ = static_cast<double>(std::max<int64_t>(1, stage.steps_per_epoch));
    twin->start(model);
    twin_head->start(*head);
  }
  void before_step(ivory::Model&, const ivory::StageContext& stage) override {
    group_ = stage.group;
    mixing_ = {ivory::mix(stage.seed, mix_stream), static_cast<uint64_t>(stage.step), 0, 0};
    keys_.clear();
  }
  void after_step(ivory::Model& model, const ivory::StageContext& stage) override {
    const torch::NoGradGuard no_grad;
    const double momentum = momentum_.at(stage.step, stage.total_steps);
    twin->follow(model, momentum);
    twin_head->follow(*head, momentum);
    for (const Tensor& keys : keys_) push(keys);
    keys_.clear();
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    IVORY_CHECK(batch.prepared.size() == 4, "pcrl needs batches that its prepare() has seen");
    const Both x = both(batch.prepared[0]), m = both(batch.prepared[1]), g = both(batch.prepared[2]),
               t = both(batch.prepared[3]);
    const Mixing mixing = draw_mixing(batch.size());
    Sides plain{model.embed(x.first), twin_of(x.second)};
    const Tensor q = unit(head->forward(plain.own.pooled)), k = key_of(plain.other.pooled);

    scale_bottleneck(plain.own, t.first);
    scale_bottleneck(plain.other, t.second);
    Tensor restored = error_.loss(decoded(model, plain.own), m.first, x.first);
    restored = restored +
               mse(decoded(model, blend(plain, mixing.alpha)), mixing.alpha * m.first + (1 - mixing.alpha) * m.second);

    const Sides mixed{model.embed(mixing.of(x.first, *group_)), twin_of(mixing.of(x.second, *group_))};
    const Tensor g1 = mixing.of(g.first, *group_), g2 = mixing.of(g.second, *group_);
    restored = restored + mse(decoded(model, mixed.own), g1);
    restored = restored + mse(decoded(model, blend(mixed, mixing.alpha_mixed)),
                              mixing.alpha_mixed * g1 + (1 - mixing.alpha_mixed) * g2);

    const Tensor q_mixed = unit(head->forward(mixed.own.pooled)), k_mixed = key_of(mixed.other.pooled);
    const Tensor contrast = compare(q, k) + compare(q_mixed, k_mixed) + compare(q_mixed, unit(mixing.of(k, *group_)));
    keys_.push_back(group_->world_size() == 1 ? k : group_->all_gather(k));
    return {{"contrast", contrast / 3}, {"restoration", restored / 4}};
  }

  // Of plain restoration: mse_of_copying (the view instead of what the code asks for), mse_of_mean. contrast_of_equal:
  // the contrast where all embeddings are alike.
  std::vector<ivory::Measure> measures() const override {
    std::vector<ivory::Measure> all = error_.measures();
    if (!released_nce_)
      all.push_back(
          {.name = "contrast_of_equal", .value = std::log(1 + static_cast<double>(bank.size(0))), .unit = "nats"});
    return all;
  }

 private:
  struct Both {
    Tensor first, second;  // of the two views: [B, …]
  };
  struct Sides {
    ivory::Features own, other;  // of the trained model and of its twin
  };
  struct Mixing {
    double lambda = 1, alpha = 1, alpha_mixed = 1;
    std::vector<int64_t> partner;  // of this process's samples in the joint batch

    // λ x + (1 − λ) x[π], without a gradient.
    Tensor of(const Tensor& x, const ivory::Collective& group) const {
      const torch::NoGradGuard no_grad;
      const Tensor all = group.world_size() == 1 ? x : group.all_gather(x.detach());
      return lambda * x + (1 - lambda) * all.index_select(0, torch::tensor(partner).to(x.device()));
    }
  };

  static Both both(const Tensor& views) { return {views.select(1, 0).contiguous(), views.select(1, 1).contiguous()}; }
  static Tensor mse(const Tensor& a, const Tensor& b) { return (a - b).square().mean(); }

  nn::Affine draw_movement(ivory::CounterRandom& random) const {
    nn::Affine movement;
    movement.flips[2] = random.chance(0.5);
    for (double& angle : movement.angle) angle = random.uniform(-rotation_, rotation_);
    movement.scale = random.uniform(1 - scale_, 1 + scale_);
    return movement;
  }

  static void perturb(nn::Cube view, bool inside, ivory::CounterRandom& random) {
    constexpr int64_t windows = 10000, boxes = 5;
    nn::blur(view, random.uniform(0, 2));
    if (random.chance(0.5)) nn::shuffle(view, windows, random);
    if (!random.chance(0.9)) return;
    if (inside)
      nn::paint_in(view, 0, boxes, random);
    else
      nn::paint_out(view, boxes, random);
  }

  // Flips along x, y, z and a turn in (x, y), written to the code: three flips, then the turn's number as one of four.
  static void ask(nn::Cube cube, float* code, ivory::CounterRandom& random) {
    nn::Flips flips;
    for (size_t i = 0; i < 3; ++i) {
      flips[2 - i] = random.chance(0.5);
      code[i] = flips[2 - i] ? 1 : 0;
    }
    const int64_t quarters = random.below(4);
    code[3 + quarters] = 1;
    nn::flip(cube, flips);
    nn::quarter_turns(cube, quarters, 2, 1);
  }

  Mixing draw_mixing(int64_t own) {
    const int64_t all = own * group_->world_size();
    IVORY_CHECK(all > 1, "pcrl mixes each sample with another one of its batch, but got one sample");
    const auto larger = [&] {
      const double u = mixing_.uniform();
      return std::max(u, 1 - u);
    };
    Mixing mixing{.lambda = larger(), .alpha = larger(), .alpha_mixed = larger(), .partner = {}};
    std::vector<int64_t> order(static_cast<size_t>(all));
    std::iota(order.begin(), order.end(), 0);
    for (int64_t i = all - 1; i > 0; --i)
      std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(mixing_.below(i + 1))]);
    const auto begin = order.begin() + static_cast<std::ptrdiff_t>(own * group_->rank());
    mixing.partner = {begin, begin + static_cast<std::ptrdiff_t>(own)};
    return mixing;
  }

  ivory::Features twin_of(const Tensor& x) {
    const torch::NoGradGuard no_grad;
    return twin_network_->embed(x);
  }
  Tensor key_of(const Tensor& pooled) {
    const torch::NoGradGuard no_grad;
    return unit(twin_head_->forward(pooled));
  }

  void scale_bottleneck(ivory::Features& features, const Tensor& code) {
    const Tensor factor = attention->forward(code.to(features.levels.back().scalar_type()));  // [B, C]
    features.levels.back() = features.levels.back() * factor.unsqueeze(-1).unsqueeze(-1).unsqueeze(-1);
  }

  static ivory::Features blend(const Sides& sides, double alpha) {
    ivory::Features blended;
    for (size_t l = 0; l < sides.own.levels.size(); ++l)
      blended.levels.push_back(alpha * sides.own.levels[l] + (1 - alpha) * sides.other.levels[l]);
    return blended;
  }
  Tensor decoded(ivory::Model& model, const ivory::Features& features) {
    return restoration->forward(model.decode(features));
  }

  // Rows of unit length. InfoNCE, or the release's estimate: with P = e^(s/τ) / Z and h = K / n, −ln(P₊ / (P₊ + h + ε))
  // − Σ ln(h / (P₋ + h + ε)), where n is its number of batches and Z = mean(e^(s/τ)) n of the first batch.
  Tensor compare(const Tensor& q, const Tensor& k) {
    const Tensor near = (q * k).sum(1, true), far = q.matmul(bank.to(q.scalar_type()).t());  // [B, 1], [B, K]
    const Tensor scores = torch::cat({near, far}, 1) / temperature_;
    if (!released_nce_)
      return torch::nn::functional::cross_entropy(
          scores, torch::zeros({q.size(0)}, torch::TensorOptions(torch::kLong).device(q.device())));
    const Tensor raised = scores.exp();
    if (scale_of_nce.item<double>() == 0) {
      const torch::NoGradGuard no_grad;
      Tensor sum = raised.mean().detach().to(scale_of_nce.options()).clone();
      group_->all_reduce_sum(sum);
      scale_of_nce.copy_(sum / static_cast<double>(group_->world_size()) * batches_);
    }
    const Tensor p = raised / scale_of_nce;
    const double share = static_cast<double>(bank.size(0)) / batches_;
    const Tensor positive = p.narrow(1, 0, 1), negative = p.narrow(1, 1, bank.size(0));
    const Tensor first = (positive / (positive + share + release_epsilon)).log().sum();
    const Tensor rest = (share / (negative + share + release_epsilon)).log().sum();
    return -(first + rest) / static_cast<double>(q.size(0));
  }

  void push(const Tensor& keys) {
    const int64_t rows = bank.size(0), at = next.item<int64_t>();
    const auto whole = torch::TensorOptions(torch::kLong).device(bank.device());
    const Tensor places = torch::arange(at, at + keys.size(0), whole).remainder(rows);
    bank.index_copy_(0, places, keys.to(bank.scalar_type()));
    next.fill_((at + keys.size(0)) % rows);
  }

  double temperature_;
  bool released_nce_, released_targets_;
  double rotation_, scale_, batches_ = 1;
  nn::MomentumSchedule momentum_;
  const ivory::Collective* group_ = &ivory::Collective::alone();
  ivory::CounterRandom mixing_{0, 0, 0, 0};
  std::vector<Tensor> keys_;  // of this step's forwards
  nn::RestorationError error_;
  std::shared_ptr<ivory::Model> twin_network_;
  std::shared_ptr<nn::EmaTwin> twin, twin_head;
  nn::Restoration restoration{nullptr};
  torch::nn::Sequential head{nullptr}, twin_head_{nullptr}, attention{nullptr};
  Tensor bank, next;    // [K, 128], the row that is written next
  Tensor scale_of_nce;  // Z; 0 before the first batch
};

std::vector<ivory::Option> options() {
  std::vector<ivory::Option> all = {
      {.name = "temperature", .fallback = 0.2, .help = "Of the contrast.", .minimum = 1e-3, .maximum = 100},
      {.name = "bank",
       .fallback = int64_t{16384},
       .help = "Earlier embeddings that each is compared with.",
       .minimum = 1,
       .maximum = 1e7},
      {.name = "nce",
       .fallback = std::string("infonce"),
       .help = "'infonce', or the 'released' estimate with a scale from the first batch.",
       .choices = {"infonce", "released"}},
      {.name = "targets",
       .fallback = std::string("moved"),
       .help =
           "What mixed samples are restored to: crops 'moved' as the views are, or, as 'released', left as they were.",
       .choices = {"moved", "released"}},
      {.name = "rotation",
       .fallback = 10.0,
       .help = "About each axis, uniform in ±.",
       .minimum = 0,
       .maximum = 180,
       .unit = "degrees"},
      {.name = "scale", .fallback = 0.1, .help = "Relative, uniform in ±.", .minimum = 0, .maximum = 0.9}};
  const auto momentum = nn::MomentumSchedule::options(0.999, "constant");
  all.insert(all.end(), momentum.begin(), momentum.end());
  return all;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "pcrl",
      .summary = "Contrast of two views of a volume, whose features also draw differently turned and mixed contexts.",
      .source = "Zhou et al., Preservational Learning Improves Self-Supervised Medical Image Models, ICCV 2021",
      .options = options(),
      .kinds = {ivory::SampleKind::volume},
      .create = [](const ivory::Options& options, const ivory::Objective::Context& context)
          -> std::shared_ptr<ivory::Objective> { return std::make_shared<Pcrl>(options, context); }});
}
