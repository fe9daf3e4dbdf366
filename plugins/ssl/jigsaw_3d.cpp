// 3D jigsaw puzzles (Taleb et al., "3D Self-Supervised Methods for Medical Imaging", NeurIPS 2020): a cube is cut into
// n³ cells, a random patch of each is taken, the patches are put into one of a fixed set of orders, and the network
// says into which.
//   place p shows patch permutation[label][p];   loss = CE(head([f(place 0), f(place 1), …]), label)
// The patches are smaller than their cells and lie anywhere in them: else edges that fit would tell the order.
#include <ivory/plugin.h>
#include <ivory/random.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace {

using torch::Tensor;
using Orders = std::vector<std::vector<int64_t>>;

constexpr uint64_t puzzle_stream = 0x6a696773, table_stream = 0x7461626c;  // keep these draws apart from the loader's

int64_t distance(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  int64_t differing = 0;
  for (size_t i = 0; i < a.size(); ++i) differing += a[i] != b[i] ? 1 : 0;
  return differing;
}

// The least distance that two permutations of the table have: 19 of 27 places in the public one.
int64_t least_distance(int64_t pieces) {
  return pieces * 19 / 27;
}

std::vector<int64_t> draw_order(int64_t pieces, ivory::CounterRandom& random) {
  std::vector<int64_t> order(static_cast<size_t>(pieces));
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = pieces - 1; i > 0; --i)
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(random.below(i + 1))]);
  return order;
}

// Of a number of candidates the one that is farthest from those there are, and from the identity, comes next.
Orders draw_table(int64_t count, int64_t pieces, uint64_t seed) {
  constexpr int64_t candidates = 64;
  ivory::CounterRandom random(ivory::mix(seed, table_stream), 0, 0, 0);
  std::vector<int64_t> identity(static_cast<size_t>(pieces));
  std::iota(identity.begin(), identity.end(), 0);
  Orders table;
  while (std::ssize(table) < count) {
    std::vector<int64_t> best;
    int64_t farthest = -1;
    for (int64_t i = 0; i < candidates; ++i) {
      const auto order = draw_order(pieces, random);
      int64_t nearest = distance(order, identity);
      for (const auto& other : table) nearest = std::min(nearest, distance(order, other));
      if (nearest > farthest) farthest = nearest, best = order;
    }
    IVORY_CHECK(farthest >= least_distance(pieces), "jigsaw-3d found only ", table.size(), " of ", count,
                " permutations of ", pieces, " pieces that differ in ", least_distance(pieces),
                " places: set permutations lower");
    table.push_back(best);
  }
  return table;
}

class Jigsaw3d : public ivory::Objective {
 public:
  Jigsaw3d(const ivory::Options& options, const Context& context)
      : cells_(options.get<int64_t>("cells")),
        jitter_(options.get<int64_t>("jitter")),
        count_(options.get<int64_t>("permutations")) {
    int64_t width = pieces() * context.width;
    head = torch::nn::Sequential();
    for (const int64_t hidden : options.get<std::vector<int64_t>>("hidden")) {
      head->push_back(torch::nn::Linear(width, hidden));
      head->push_back(torch::nn::BatchNorm1d(hidden));
      head->push_back(torch::nn::ReLU());
      if (const double dropout = options.get<double>("dropout"); dropout > 0)
        head->push_back(torch::nn::Dropout(dropout));
      width = hidden;
    }
    head->push_back(torch::nn::Linear(width, count_));
    register_module("head", head);
    permutations = register_buffer("permutations", torch::zeros({count_, pieces()}, torch::kLong));
  }

  std::vector<std::string> prepares() const override { return {"patches", "label"}; }

  void before_training(ivory::Model&, const ivory::StageContext& stage) override {
    table_ = draw_table(count_, pieces(), stage.seed);
    permutations.copy_(as_tensor());
  }

  // A checkpoint has been read by now.
  void before_step(ivory::Model&, const ivory::StageContext& stage) override {
    if (checked_) return;
    IVORY_CHECK(torch::equal(permutations.cpu(), as_tensor()),
                "jigsaw-3d: the permutations of the checkpoint are not those of this stage, whose seed is ", stage.seed,
                ": it is another stage's");
    checked_ = true;
  }

  std::vector<Tensor> prepare(const ivory::Sample& sample) const override {
    IVORY_CHECK(!table_.empty(), "jigsaw-3d: before_training must come before the first batch");
    std::vector<Tensor> patches;
    std::vector<int64_t> labels;
    for (size_t v = 0; v < sample.views.size(); ++v) {
      ivory::CounterRandom random = sample.random(v, puzzle_stream);
      labels.push_back(random.below(count_));
      patches.push_back(puzzle(sample.views[v].pixels, table_[static_cast<size_t>(labels.back())], random));
    }
    return {torch::stack(patches), torch::tensor(labels)};  // [V, P, 1, d, h, w], [V]
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    IVORY_CHECK(batch.prepared.size() == 2, "jigsaw-3d needs batches that its prepare() has seen");
    const Tensor patches = batch.prepared[0].flatten(0, 1), truth = batch.prepared[1].flatten();
    const int64_t puzzles = patches.size(0);
    IVORY_CHECK(puzzles > 1 || !is_training(),
                "jigsaw-3d normalises over the puzzles of a batch, but got one: set batch_size to 2 or more");
    const Tensor features = model.embed(patches.flatten(0, 1)).pooled.reshape({puzzles, -1});  // [N, P·width]
    const Tensor logits = head->forward(features);
    const Tensor scores = logits.to(torch::promoteTypes(torch::kFloat, logits.scalar_type()));
    hits_ = (scores.argmax(1) == truth).to(torch::kFloat).mean().detach();
    return {{"jigsaw_3d", torch::nn::functional::cross_entropy(scores, truth)}};
  }

  // accuracy: the share of the last batch's puzzles whose order was told.
  std::vector<ivory::Measure> measures() const override {
    if (!hits_.defined()) return {};
    return {{.name = "accuracy",
             .value = hits_.item<double>(),
             .compare = 1 / static_cast<double>(count_),
             .compare_label = "a guess"}};
  }
  double chance_loss() const override { return std::log(static_cast<double>(count_)); }

 private:
  int64_t pieces() const { return cells_ * cells_ * cells_; }

  Tensor as_tensor() const {
    Tensor all = torch::empty({count_, pieces()}, torch::kLong);
    for (int64_t i = 0; i < count_; ++i)
      std::ranges::copy(table_[static_cast<size_t>(i)], all.data_ptr<int64_t>() + i * pieces());
    return all;
  }

  // [1, D, H, W] → [P, 1, d, h, w]: a patch anywhere in each cell, the cells in row-major order, then permuted. Voxels
  // that the cells do not divide are left over at the far ends.
  Tensor puzzle(const Tensor& view, const std::vector<int64_t>& order, ivory::CounterRandom& random) const {
    std::array<int64_t, 3> cell, side;
    for (size_t i = 0; i < 3; ++i) {
      cell[i] = view.size(static_cast<int64_t>(i) + 1) / cells_;
      side[i] = cell[i] - jitter_;
      IVORY_CHECK(side[i] > 0, "jigsaw-3d cuts views of shape ", view.sizes(), " into cells of ", cell[i],
                  " voxels, expected more than the jitter of ", jitter_);
    }
    std::vector<Tensor> cut;
    for (int64_t p = 0; p < pieces(); ++p) {
      const std::array<int64_t, 3> at = {p / (cells_ * cells_), p / cells_ % cells_, p % cells_};
      Tensor patch = view;
      for (size_t i = 0; i < 3; ++i)
        patch = patch.narrow(static_cast<int64_t>(i) + 1, at[i] * cell[i] + random.below(jitter_ + 1), side[i]);
      cut.push_back(patch);
    }
    Tensor out = torch::empty({pieces(), 1, side[0], side[1], side[2]}, view.scalar_type());
    for (int64_t p = 0; p < pieces(); ++p) copy(cut[static_cast<size_t>(order[static_cast<size_t>(p)])], out[p]);
    return out;
  }

  // Row by row: LibTorch's operators would start threads of their own.
  static void copy(const Tensor& from, const Tensor& to) {
    const size_t bytes = static_cast<size_t>(from.size(3)) * from.element_size();
    const auto* in = static_cast<const char*>(from.const_data_ptr());
    auto* out = static_cast<char*>(to.data_ptr());
    for (int64_t z = 0; z < from.size(1); ++z)
      for (int64_t y = 0; y < from.size(2); ++y, out += bytes)
        std::memcpy(out, in + (z * from.stride(1) + y * from.stride(2)) * static_cast<int64_t>(from.element_size()),
                    bytes);
  }

  int64_t cells_, jitter_, count_;
  Orders table_;  // settled before the first batch: the loader's threads read it
  bool checked_ = false;
  torch::nn::Sequential head{nullptr};
  Tensor permutations;  // [C, P]
  Tensor hits_;         // of the last forward
};

std::vector<std::string> advise(const ivory::Options& options, const ivory::StageFacts& facts) {
  std::vector<std::string> advice;
  if (facts.flip > 0)
    advice.push_back(
        "jigsaw-3d cannot tell a mirrored cube from its mirrored order: set [stage.views.volume] flip = 0");
  if (options.get<int64_t>("jitter") == 0)
    advice.push_back("jigsaw-3d with jitter = 0 can be solved by the edges of neighbouring patches: set it to 3");
  return advice;
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "jigsaw-3d",
      .summary = "Classification of the order, one of a fixed set, that the parts of a cube were put into.",
      .source = "Taleb et al., 3D Self-Supervised Methods for Medical Imaging, NeurIPS 2020",
      .options = {{.name = "permutations",
                   .fallback = int64_t{100},
                   .help = "Orders, drawn from the seed far from one another and kept in the checkpoint.",
                   .minimum = 2,
                   .maximum = 1000},
                  {.name = "cells", .fallback = int64_t{3}, .help = "Per axis.", .minimum = 2, .maximum = 5},
                  {.name = "jitter",
                   .fallback = int64_t{3},
                   .help = "How much shorter a patch is than its cell, in which it lies anywhere.",
                   .minimum = 0,
                   .maximum = 64,
                   .unit = "voxels"},
                  {.name = "hidden",
                   .fallback = std::vector<int64_t>{2048, 1024},
                   .help = "Widths of the head's hidden layers.",
                   .minimum = 1,
                   .maximum = 65536},
                  {.name = "dropout", .fallback = 0.5, .help = "Of the hidden layers.", .minimum = 0, .maximum = 0.99}},
      .kinds = {ivory::SampleKind::volume},
      .advise = advise,
      .create = [](const ivory::Options& options, const ivory::Objective::Context& context)
          -> std::shared_ptr<ivory::Objective> { return std::make_shared<Jigsaw3d>(options, context); }});
}
