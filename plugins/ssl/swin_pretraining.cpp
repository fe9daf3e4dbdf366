// Swin UNETR's pre-training (Tang et al., "Self-Supervised Pre-Training of Swin Transformers for 3D Medical Image
// Analysis", CVPR 2022). Twice, a crop is turned by 0, 90, 180 or 270° about the left-right axis, boxes of it are cut
// out and filled with noise, and others with what another crop of the batch has there. The network tells the turn,
// finds the crop's other version among those of the batch, and restores the turned crop.
//   loss = CE(turn) + NT-Xent(τ) + mean |decoder(f(cut)) − turned crop|
// The decoder is a light one without skips, and a part of the objective: the encoder alone is passed on.
#include <ivory/nn/clustering.h>
#include <ivory/nn/gather.h>
#include <ivory/nn/perturb.h>
#include <ivory/nn/restoration.h>
#include <ivory/plugin.h>

#include <cmath>
#include <limits>

namespace {

namespace nn = ivory::nn;
using torch::Tensor;

constexpr uint64_t swin_stream = 0x7377696e, partner_stream = 0x70616972;  // keep these draws apart from the loader's
constexpr int64_t versions = 2, turns = 4;

class SwinPretraining : public ivory::Objective {
 public:
  SwinPretraining(const ivory::Options& options, const Context& context)
      : temperature_(options.get<double>("temperature")),
        most_cut_(options.get<double>("most_cut")),
        of_tokens_(options.get<std::string>("pool") == "tokens") {
    const auto encoder = context.model ? context.model->encoder(ivory::SampleKind::volume) : nullptr;
    IVORY_CHECK(encoder && !encoder->info().levels.empty(),
                "swin-pretraining needs a model with a network of volumes that has feature maps, but [model] has none");
    const ivory::Level deepest = encoder->info().levels.back();
    const int64_t width = of_tokens_ ? deepest.width : context.width;
    rotation = register_module("rotation", torch::nn::Linear(width, turns));
    contrast = register_module("contrast", torch::nn::Linear(width, options.get<int64_t>("embedding_width")));
    decoder = register_module("decoder", nn::light_decoder(deepest, "swin-pretraining"));
  }

  std::vector<std::string> trains() const override { return {"encoder"}; }
  std::vector<std::string> prepares() const override { return {"clean", "cut", "swap", "turn"}; }

  // [2V, …]: version 0 of every view, then version 1. `swap` tells where the voxels of another crop come.
  std::vector<Tensor> prepare(const ivory::Sample& sample) const override {
    const Tensor views = nn::grey_views(sample, "swin-pretraining");  // [V, 1, D, H, W]
    const auto [depth, rows] = std::pair(views.size(2), views.size(3));
    IVORY_CHECK(depth == rows, "swin-pretraining turns crops in the plane of slices and rows, but got views of shape ",
                sample.views[0].pixels.sizes(), ": set [stage.views.volume] size to equal D and H");
    const int64_t count = views.size(0);
    std::vector<int64_t> shape = views.sizes().vec();
    shape[0] = versions * count;
    const Tensor clean = torch::empty(shape, torch::kFloat32), cut = torch::empty(shape, torch::kFloat32);
    const Tensor swap = torch::empty(shape, torch::kUInt8), turn = torch::empty({versions * count}, torch::kLong);
    for (int64_t i = 0; i < versions * count; ++i) {
      ivory::CounterRandom random = sample.random(static_cast<size_t>(i), swin_stream);
      const nn::Cube whole = nn::cube_of(clean[i]), corrupted = nn::cube_of(cut[i]);
      std::ranges::copy(nn::cube_of(views[i % count]).voxels, whole.voxels.begin());
      const int64_t k = random.below(turns);
      turn.data_ptr<int64_t>()[i] = k;
      nn::quarter_turns(whole, k, 1, 0);
      std::ranges::copy(whole.voxels, corrupted.voxels.begin());
      for (const nn::CubeBox& box : nn::draw_cut_outs(whole.sides, most_cut_, random))
        nn::fill_with_noise(corrupted, box, random);
      mark(swap[i], whole.sides, nn::draw_cut_outs(whole.sides, most_cut_, random));
    }
    return {clean, cut, swap, turn};
  }

  void before_step(ivory::Model&, const ivory::StageContext& stage) override {
    group_ = stage.group;
    seed_ = ivory::mix(stage.seed, partner_stream);
    step_ = static_cast<uint64_t>(stage.step);
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    IVORY_CHECK(batch.prepared.size() == 4, "swin-pretraining needs batches that its prepare() has seen");
    const int64_t samples = batch.size(), views = batch.prepared[0].size(1) / versions;
    const auto by_version = [&](const Tensor& t) {  // [B, 2V, …] → [2, B·V, …]
      std::vector<int64_t> shape = {samples, versions, views};
      shape.insert(shape.end(), t.sizes().begin() + 2, t.sizes().end());
      return t.view(shape).transpose(0, 1).flatten(1, 2).contiguous();
    };
    const Tensor clean = by_version(batch.prepared[0]), turn = by_version(batch.prepared[3]).flatten();
    const Tensor corrupted = swapped(clean, by_version(batch.prepared[1]), by_version(batch.prepared[2]), batch.index);
    const Tensor target = clean.flatten(0, 1);  // [2n, 1, D, H, W]
    const ivory::Features features = model.embed((corrupted.flatten(0, 1) - 0.5) / 0.25);
    const Tensor restored = restore(features.levels.back(), target);

    const Tensor scores = precise(rotation->forward(token(features, 0)));
    const Tensor rotation_loss = torch::nn::functional::cross_entropy(scores, turn);
    const Tensor contrast_loss = nt_xent(precise(contrast->forward(token(features, 1))));
    const Tensor restoration_loss = (precise(restored) - target).abs().mean();
    const torch::NoGradGuard no_grad;
    accuracy_ = (scores.argmax(1) == turn).to(torch::kFloat).mean();
    constant_ = (target.flatten(1).amax(1) == target.flatten(1).amin(1)).sum();
    copying_ = (corrupted.flatten(0, 1) - target).abs().mean();
    return {{"rotation", rotation_loss}, {"contrast", contrast_loss}, {"restoration", restoration_loss}};
  }

  // Of the last batch. accuracy: of the turns. constant: crops that look the same after any turn. mae_of_copying: the
  // restoration's loss of the corrupted crop itself. contrast_of_equal: the contrast's loss where all crops look alike.
  std::vector<ivory::Measure> measures() const override {
    if (!accuracy_.defined()) return {};
    return {{.name = "accuracy", .value = accuracy_.item<double>(), .compare = 0.25, .compare_label = "a guess"},
            {.name = "constant", .value = constant_.item<double>(), .unit = "crops"},
            {.name = "mae_of_copying", .value = copying_.item<double>(), .unit = "loss"},
            {.name = "contrast_of_equal", .value = equal_, .unit = "nats"}};
  }

 private:
  static void mark(const Tensor& swap, const std::array<int64_t, 3>& sides, const std::vector<nn::CubeBox>& boxes) {
    auto* out = swap.data_ptr<uint8_t>();
    std::fill_n(out, swap.numel(), uint8_t{0});
    for (const nn::CubeBox& box : boxes)
      for (int64_t z = box.start[0]; z < box.start[0] + box.sides[0]; ++z)
        for (int64_t y = box.start[1]; y < box.start[1] + box.sides[1]; ++y)
          std::fill_n(out + (z * sides[1] + y) * sides[2] + box.start[2], box.sides[2], uint8_t{1});
  }

  static Tensor precise(const Tensor& x) { return x.to(torch::promoteTypes(torch::kFloat, x.scalar_type())); }

  Tensor joint(const Tensor& own) const { return group_->world_size() == 1 ? own : group_->all_gather(own); }

  // As in the release, crop after crop of the joint batch: noise is put in, then, where the partner j is another crop,
  // its voxels, which for j before this one are corrupted already and for j behind it are not.
  Tensor swapped(const Tensor& clean, const Tensor& cut, const Tensor& swap, const Tensor& index) const {
    const int64_t own = clean.size(1), views = own / index.size(0), first = own * group_->rank();
    const Tensor ids = joint(index).to(torch::kCPU);
    std::vector<Tensor> all;
    for (int64_t version = 0; version < versions; ++version) {
      const Tensor noisy = joint(cut[version]), where = joint(swap[version].to(torch::kFloat)).to(torch::kBool);
      Tensor current = joint(clean[version]).clone();
      const int64_t count = current.size(0);
      for (int64_t i = 0; i < count; ++i) {
        const auto view = static_cast<uint64_t>(version * views + i % views);
        const int64_t j =
            ivory::CounterRandom(seed_, step_, static_cast<uint64_t>(ids[i / views].item<int64_t>()), view)
                .below(count);
        current[i].copy_(j == i ? noisy[i] : torch::where(where[i], current[j], noisy[i]));
      }
      all.push_back(current.narrow(0, first, own));
    }
    return torch::stack(all);  // [2, n, 1, D, H, W]
  }

  Tensor restore(const Tensor& deepest, const Tensor& target) {
    nn::check_light_decoder(deepest, "swin-pretraining");
    const Tensor restored = decoder->forward(deepest);
    IVORY_CHECK(restored.sizes() == target.sizes(), "swin-pretraining restores crops of shape ", restored.sizes(),
                " for ", target.sizes(), ": the network's stride must divide their sides");
    return restored;
  }

  // pool = "tokens": the corner of the deepest level, and the one beside it.
  Tensor token(const ivory::Features& features, int64_t number) const {
    if (!of_tokens_) return features.pooled;
    const Tensor tokens = features.levels.back().flatten(2);  // [2n, C, T]
    IVORY_CHECK(tokens.size(2) > 1,
                "swin-pretraining with pool = \"tokens\" needs two voxels at the deepest level, but got ",
                tokens.size(2), ": use larger crops or pool = \"mean\"");
    return tokens.select(2, number);
  }

  // z: [2n, E], the first versions before the second ones. Each picks its other version among all others of the joint
  // batch.
  Tensor nt_xent(const Tensor& z) {
    const Tensor unit = torch::nn::functional::normalize(z, torch::nn::functional::NormalizeFuncOptions().dim(1));
    const int64_t n = z.size(0) / 2, all = n * group_->world_size(), first = n * group_->rank();
    const auto halves = unit.chunk(2);
    const Tensor others = torch::cat({nn::gather(halves[0], *group_), nn::gather(halves[1], *group_)});  // [2N, E]
    const Tensor one = torch::arange(first, first + n, torch::TensorOptions(torch::kLong).device(z.device()));
    const Tensor self = torch::cat({one, one + all}), positive = torch::cat({one + all, one});
    const Tensor scores = (unit.matmul(others.t()) / temperature_)
                              .scatter(1, self.unsqueeze(1), -std::numeric_limits<double>::infinity());
    equal_ = std::log(static_cast<double>(std::max<int64_t>(2 * all - 1, 1)));
    return torch::nn::functional::cross_entropy(scores, positive);
  }

  double temperature_, most_cut_;
  bool of_tokens_;
  uint64_t seed_ = 0, step_ = 0;
  double equal_ = 0;
  const ivory::Collective* group_ = &ivory::Collective::alone();
  torch::nn::Linear rotation{nullptr}, contrast{nullptr};
  torch::nn::Sequential decoder{nullptr};
  Tensor accuracy_, constant_, copying_;  // of the last forward
};

std::vector<std::string> advise(const ivory::Options&, const ivory::StageFacts& facts) {
  if (facts.flip == 0) return {};
  return {"swin-pretraining cannot tell a turn by 180 degrees from flips: set [stage.views.volume] flip = 0"};
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "swin-pretraining",
      .summary = "Rotation, contrast and in-painting of crops that were turned and cut.",
      .source =
          "Tang et al., Self-Supervised Pre-Training of Swin Transformers for 3D Medical Image Analysis, CVPR 2022",
      .options = {{.name = "temperature", .fallback = 0.5, .help = "Of the contrast.", .minimum = 1e-3, .maximum = 100},
                  {.name = "embedding_width",
                   .fallback = int64_t{512},
                   .help = "Of the contrast.",
                   .minimum = 1,
                   .maximum = 65536},
                  {.name = "most_cut",
                   .fallback = 0.3,
                   .help = "Largest share of a crop that noise, and again another crop's voxels, take the place of.",
                   .minimum = 0,
                   .maximum = 0.9},
                  {.name = "pool",
                   .fallback = std::string("mean"),
                   .help = "What turn and contrast are told from: the 'mean' of the deepest level, or its first two "
                           "'tokens', as the public code does.",
                   .choices = {"mean", "tokens"}}},
      .kinds = {ivory::SampleKind::volume},
      .advise = advise,
      .create = [](const ivory::Options& options, const ivory::Objective::Context& context)
          -> std::shared_ptr<ivory::Objective> { return std::make_shared<SwinPretraining>(options, context); }});
}
