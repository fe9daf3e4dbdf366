// TransVW (Haghighi et al., "Transferable Visual Words: Exploiting the Semantics of Anatomical Patterns for
// Self-Supervised Learning", IEEE TMI 2021; "Semantic Genesis", MICCAI 2020): a visual word is a place of the body, as
// the patients show it who look most like a reference patient. Cubes of words are perturbed; the network restores them
// and says which word they are.
//   loss = MSE(restored, cube) + 0.01 CE(head(deepest level), word)
// Words are found before the first step by the features of the model as the stage gets it, `from` a stage with
// "volume-autoencoder" on the same whole volumes. A word's place is the same voxel of the resampled volume in all of
// its patients.
#include <ivory/nn/eval_mode.h>
#include <ivory/nn/perturb.h>
#include <ivory/nn/restoration.h>
#include <ivory/plugin.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace {

namespace nn = ivory::nn;
using torch::Tensor;
using Place = std::array<int64_t, 3>;  // z, y, x of a cube's first voxel

constexpr uint64_t word_stream = 0x776f7264, place_stream = 0x706c6163, cube_stream = 0x63756265;
constexpr int64_t head_width = 1024, tries = 200;
constexpr double nearest_words = 5;  // voxels between the places of two words, at least
constexpr float dense_from = 0.425F;

struct Word {
  Place place = {};
  std::vector<int64_t> members;  // ids of samples, the reference first, then by distance
};

// Where a volume may give a word: tried in this order.
struct Candidates {
  int64_t sample = 0;
  std::vector<Place> places;
};

double dense_share(const nn::Cube& volume, const Place& place, const Place& sides) {
  int64_t dense = 0;
  for (int64_t z = place[0]; z < place[0] + sides[0]; ++z)
    for (int64_t y = place[1]; y < place[1] + sides[1]; ++y) {
      const float* row = volume.voxels.data() + (z * volume.sides[1] + y) * volume.sides[2] + place[2];
      dense += std::count_if(row, row + sides[2], [](float v) { return v >= dense_from; });
    }
  return static_cast<double>(dense) / static_cast<double>(sides[0] * sides[1] * sides[2]);
}

// The `count` samples nearest to a reference, itself first; equally near ones by their ids, so that the order of the
// data changes nothing.
std::vector<int64_t> nearest(const Tensor& descriptors, int64_t reference, int64_t count) {
  const Tensor distance = (descriptors - descriptors[reference]).square().sum(1).contiguous();
  std::vector<int64_t> order(static_cast<size_t>(distance.size(0)));
  std::iota(order.begin(), order.end(), 0);
  const auto* d = distance.data_ptr<double>();
  std::ranges::sort(order, [&](int64_t a, int64_t b) {
    if ((a == reference) != (b == reference)) return a == reference;
    return d[a] != d[b] ? d[a] < d[b] : a < b;
  });
  order.resize(static_cast<size_t>(count));
  return order;
}

class TransVw : public ivory::Objective {
 public:
  TransVw(const ivory::Options& options, const Context& context)
      : classes_(options.get<int64_t>("words")),
        instances_(options.get<int64_t>("instances")),
        most_tissue_(options.get<double>("most_tissue")),
        class_weight_(options.get<double>("class_weight")),
        elastic_(options.get<double>("elastic")),
        constant_paint_(options.get<bool>("constant_paint")) {
    const auto cube = options.get<std::vector<int64_t>>("cube");
    std::ranges::copy(cube, cube_.begin());
    IVORY_CHECK(context.samples == 0 || instances_ <= context.samples, "transvw: a word has ", instances_,
                " patients, but the data have ", context.samples, " volumes: set instances lower");
    if (options.get<bool>("restore")) restoration = register_module("restoration", nn::Restoration(context, "transvw"));
    const auto encoder = context.model->encoder(ivory::SampleKind::volume);
    IVORY_CHECK(encoder && !encoder->info().levels.empty(),
                "transvw needs a model with a network of volumes that has feature maps, but [model] has none");
    const int64_t width = encoder->info().levels.back().width;
    convolution = register_module(
        "convolution",
        torch::nn::Sequential(torch::nn::Conv3d(torch::nn::Conv3dOptions(width, head_width, 3).padding(1)),
                              torch::nn::BatchNorm3d(head_width), torch::nn::ReLU()));
    classifier = register_module("classifier", torch::nn::Linear(head_width, classes_));
    places = register_buffer("places", torch::zeros({classes_, 3}, torch::kLong));
    members = register_buffer("members", torch::zeros({classes_, instances_}, torch::kLong));
    if (options.get<std::string>("start") == "fresh") fresh_ = context.fresh_model();
  }

  std::vector<std::string> trains() const override {
    return restoration ? std::vector<std::string>{"encoder", "decoder"} : std::vector<std::string>{"encoder"};
  }
  std::vector<std::string> prepares() const override { return {"input", "target", "word"}; }

  void before_training(ivory::Model& model, const ivory::StageContext& stage) override {
    find_words(model, stage);
    const torch::NoGradGuard no_grad;
    places.copy_(places_tensor());
    members.copy_(members_tensor());
    if (!fresh_) return;
    auto into = model.parameters(), into_buffers = model.buffers();
    const auto from = fresh_->parameters(), from_buffers = fresh_->buffers();
    for (size_t i = 0; i < into.size(); ++i) into[i].copy_(from[i]);
    for (size_t i = 0; i < into_buffers.size(); ++i) into_buffers[i].copy_(from_buffers[i]);
    fresh_.reset();
  }

  // A checkpoint has been read by now.
  void before_step(ivory::Model&, const ivory::StageContext&) override {
    if (checked_) return;
    IVORY_CHECK(
        torch::equal(places.cpu(), places_tensor()) && torch::equal(members.cpu(), members_tensor()),
        "transvw: the visual words of the checkpoint are not those of this stage's data, seed and first weights: "
        "they are another data set's or stage's");
    checked_ = true;
  }

  std::vector<Tensor> prepare(const ivory::Sample& sample) const override {
    IVORY_CHECK(!words_.empty(), "transvw: before_training must come before the first batch");
    const Tensor volumes = nn::grey_views(sample, "transvw");  // [V, 1, D, H, W]
    const int64_t views = volumes.size(0);
    const Tensor target = torch::empty({views, 1, cube_[0], cube_[1], cube_[2]}), input = torch::empty_like(target);
    const Tensor word = torch::empty({views}, torch::kLong);
    const auto& of_sample = words_of_.at(sample.index);
    for (int64_t v = 0; v < views; ++v) {
      ivory::CounterRandom random = sample.random(static_cast<size_t>(v), cube_stream);
      const nn::Cube cube = nn::cube_of(target[v]), perturbed = nn::cube_of(input[v]);
      // A volume that shows no word gives any cube, without a class.
      const bool none = of_sample.empty();
      const int64_t chosen = none ? -1 : of_sample[static_cast<size_t>(random.below(std::ssize(of_sample)))];
      word.data_ptr<int64_t>()[v] = chosen;
      const nn::Cube volume = nn::cube_of(volumes[v]);
      cut_cube(volume, none ? draw_place(volume.sides, random) : words_[static_cast<size_t>(chosen)].place, cube,
               random);
      std::ranges::copy(cube.voxels, perturbed.voxels.begin());
      perturb(perturbed, random);
    }
    nn::normalise(nn::cube_of(input));
    return {input, target, word};
  }

  ivory::LossTerms forward(ivory::Model& model, const ivory::Batch& batch) override {
    IVORY_CHECK(batch.prepared.size() == 3, "transvw needs batches that its prepare() has seen");
    const Tensor input = batch.prepared[0].flatten(0, 1), target = batch.prepared[1].flatten(0, 1);
    const Tensor truth = batch.prepared[2].flatten(), known = truth >= 0;
    const ivory::Features features = model.embed(input);
    const Tensor logits = classifier->forward(convolution->forward(features.levels.back()).mean({2, 3, 4}));
    const Tensor scores = logits.to(torch::promoteTypes(torch::kFloat, logits.scalar_type()));
    const Tensor log = torch::log_softmax(scores, 1);
    const Tensor picked = log.gather(1, truth.clamp_min(0).unsqueeze(1)).squeeze(1);
    const Tensor count = known.sum();
    const Tensor cross_entropy = -(picked * known).sum() / count.clamp_min(1);
    hits_ = (((scores.argmax(1) == truth) * known).sum() / count.clamp_min(1)).detach();
    without_ = (truth.numel() - count).detach();
    ivory::LossTerms terms = {{"word", class_weight_ * cross_entropy}};
    if (restoration)
      terms.insert(terms.begin(),
                   {"restoration", error_.loss(restoration->forward(model.decode(features)), target, input)});
    return terms;
  }

  // mse_of_copying, mse_of_mean: as those of models-genesis. accuracy: of the words; without_word: cubes of volumes
  // that show none, which the classification leaves out.
  std::vector<ivory::Measure> measures() const override {
    auto all = error_.measures();
    if (!hits_.defined()) return all;
    all.push_back({.name = "accuracy",
                   .value = hits_.item<double>(),
                   .compare = 1 / static_cast<double>(classes_),
                   .compare_label = "a guess"});
    all.push_back({.name = "without_word", .value = without_.item<double>(), .unit = "cubes"});
    return all;
  }

 private:
  // --- Discovery ---

  void find_words(ivory::Model& model, const ivory::StageContext& stage) {
    IVORY_CHECK(stage.for_each_batch, "transvw finds its words in the stage's data, but there are none");
    const torch::NoGradGuard no_grad;
    std::vector<Tensor> ids, features;
    std::vector<Candidates> own;
    {
      const nn::EvalMode eval(model);
      stage.for_each_batch(ivory::Tail::partial, [&](const ivory::Batch& batch) {
        const Tensor volumes = batch.views[0].pixels;
        ids.push_back(batch.index.to(torch::kCPU));
        features.push_back(model.embed(volumes).pooled.to(torch::kCPU, torch::kDouble));
        for (int64_t i = 0; i < volumes.size(0); ++i)
          own.push_back(candidates(volumes[i], ids.back()[i].item<int64_t>(), stage.seed));
      });
    }
    const auto [order, descriptors] = joint(ids, features, own, stage);
    choose(order, descriptors, stage.seed);
  }

  // Places whose cube holds no more dense tissue than it may.
  Candidates candidates(const Tensor& pixels, int64_t sample, uint64_t seed) const {
    const Tensor grey = (pixels.to(torch::kCPU, torch::kFloat32) * 0.25 + 0.5).contiguous();
    const nn::Cube volume = nn::cube_of(grey);
    ivory::CounterRandom random(ivory::mix(seed, place_stream), 0, static_cast<uint64_t>(sample), 0);
    Candidates found{.sample = sample, .places = {}};
    for (int64_t i = 0; i < tries; ++i) {
      const Place place = draw_place(volume.sides, random);
      if (dense_share(volume, place, cube_) <= most_tissue_) found.places.push_back(place);
    }
    return found;
  }

  Place draw_place(const Place& sides, ivory::CounterRandom& random) const {
    Place place;
    for (size_t i = 0; i < 3; ++i) {
      IVORY_CHECK(sides[i] >= cube_[i], "transvw cuts cubes of ", cube_[0], " x ", cube_[1], " x ", cube_[2],
                  " voxels from volumes of ", sides[0], " x ", sides[1], " x ", sides[2],
                  ": set [stage.views.volume] larger, or cube smaller");
      place[i] = random.below(sides[i] - cube_[i] + 1);
    }
    return place;
  }

  // Of all processes, by the samples' ids: where each may give a word, and the descriptors [N, width].
  std::pair<std::vector<Candidates>, Tensor> joint(const std::vector<Tensor>& ids, const std::vector<Tensor>& features,
                                                   const std::vector<Candidates>& own,
                                                   const ivory::StageContext& stage) const {
    std::vector<Tensor> flat;
    for (const Candidates& one : own) {
      Tensor row = torch::full({tries, 3}, -1, torch::kLong);
      for (size_t p = 0; p < one.places.size(); ++p)
        for (size_t i = 0; i < 3; ++i) row.data_ptr<int64_t>()[3 * p + i] = one.places[p][i];
      flat.push_back(row);
    }
    const auto gathered = [&](const Tensor& t) {
      return stage.group->world_size() == 1 ? t : stage.group->all_gather(t.to(stage.device)).to(torch::kCPU);
    };
    const Tensor all_ids = gathered(torch::cat(ids)), descriptors = gathered(torch::cat(features)),
                 all_places = gathered(torch::stack(flat));
    const Tensor by_id = all_ids.argsort();
    std::vector<Candidates> order;
    for (int64_t i = 0; i < by_id.size(0); ++i) {
      const int64_t row = by_id[i].item<int64_t>();
      Candidates one{.sample = all_ids[row].item<int64_t>(), .places = {}};
      const Tensor of_row = all_places[row].contiguous();
      const auto* p = of_row.data_ptr<int64_t>();
      for (int64_t k = 0; k < tries && p[3 * k] >= 0; ++k) one.places.push_back({p[3 * k], p[3 * k + 1], p[3 * k + 2]});
      order.push_back(one);
    }
    return {order, descriptors.index_select(0, by_id).contiguous()};
  }

  // Reference patients come in a random order, each at most once.
  void choose(const std::vector<Candidates>& volumes, const Tensor& descriptors, uint64_t seed) {
    const int64_t count = std::ssize(volumes);
    IVORY_CHECK(instances_ <= count, "transvw: a word has ", instances_, " patients, but the data have ", count,
                " volumes: set instances lower");
    std::vector<int64_t> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    ivory::CounterRandom random(ivory::mix(seed, word_stream), 0, 0, 0);
    for (int64_t i = count - 1; i > 0; --i)
      std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(random.below(i + 1))]);
    words_.clear();
    for (size_t next = 0; std::ssize(words_) < classes_ && next < order.size(); ++next) {
      const Candidates& reference = volumes[static_cast<size_t>(order[next])];
      const auto apart = [&](const Place& place) {
        return std::ranges::all_of(words_,
                                   [&](const Word& word) { return distance(place, word.place) >= nearest_words; });
      };
      const auto place = std::ranges::find_if(reference.places, apart);
      if (place == reference.places.end()) continue;
      Word word{.place = *place, .members = nearest(descriptors, order[next], instances_)};
      for (int64_t& member : word.members) member = volumes[static_cast<size_t>(member)].sample;
      words_.push_back(word);
    }
    IVORY_CHECK(std::ssize(words_) == classes_, "transvw found ", words_.size(), " of ", classes_, " visual words in ",
                count, " volumes, each of which gives one at most: set words lower, or most_tissue higher");
    int64_t last = 0;
    for (const Candidates& volume : volumes) last = std::max(last, volume.sample);
    words_of_.assign(static_cast<size_t>(last + 1), {});
    for (int64_t w = 0; w < classes_; ++w)
      for (const int64_t member : words_[static_cast<size_t>(w)].members)
        words_of_[static_cast<size_t>(member)].push_back(w);
  }

  static double distance(const Place& a, const Place& b) {
    double squares = 0;
    for (size_t i = 0; i < 3; ++i) squares += std::pow(static_cast<double>(a[i] - b[i]), 2);
    return std::sqrt(squares);
  }

  Tensor places_tensor() const {
    std::vector<int64_t> all;
    for (const Word& word : words_) all.insert(all.end(), word.place.begin(), word.place.end());
    return torch::tensor(all).view({-1, 3});
  }
  Tensor members_tensor() const {
    std::vector<int64_t> all;
    for (const Word& word : words_) all.insert(all.end(), word.members.begin(), word.members.end());
    return torch::tensor(all).view({-1, instances_});
  }

  // --- Cubes ---

  // One time in three the cube of the place itself, else one with sides in the plane of 50 … 79 of 64 of it, shifted by
  // −10 … 9 of 64, as far as it stays in the volume, and resized.
  void cut_cube(const nn::Cube& volume, const Place& place, const nn::Cube& out, ivory::CounterRandom& random) const {
    std::array<double, 3> start, length;
    for (size_t i = 0; i < 3; ++i) start[i] = static_cast<double>(place[i]), length[i] = static_cast<double>(cube_[i]);
    if (random.below(3) > 0) {
      const double side = static_cast<double>(50 + random.below(30)) / 64;
      for (size_t i = 1; i < 3; ++i) {
        length[i] = std::min(std::round(length[i] * side), static_cast<double>(volume.sides[i]));
        start[i] += std::round(static_cast<double>((random.below(20) - 10) * cube_[i]) / 64);
        start[i] = std::clamp(start[i], 0.0, static_cast<double>(volume.sides[i]) - length[i]);
      }
    }
    nn::cut(volume, start, length, out);
  }

  void perturb(const nn::Cube& cube, ivory::CounterRandom& random) const {
    constexpr double smoothing = 8;
    if (elastic_ > 0) nn::elastic(cube, elastic_, smoothing, random);
    switch (random.below(4)) {
      case 0:
        return nn::shuffle(cube, 5, random);
      case 1:
        return nn::map_intensities(cube, nn::Bezier::draw(random));
      case 2:
        nn::paint_in(cube, 1, 1, random, constant_paint_);
        return;
      default:
        nn::paint_out(cube, 1, random);
    }
  }

  int64_t classes_, instances_;
  double most_tissue_, class_weight_, elastic_;
  bool constant_paint_, checked_ = false;
  Place cube_ = {};
  // Settled before the first batch: the loader's threads read them.
  std::vector<Word> words_;
  std::vector<std::vector<int64_t>> words_of_;  // by a sample's id: the words that it shows
  std::shared_ptr<ivory::Model> fresh_;         // the weights to begin with, once the words are found
  nn::RestorationError error_;
  nn::Restoration restoration{nullptr};
  torch::nn::Sequential convolution{nullptr};
  torch::nn::Linear classifier{nullptr};
  Tensor places, members;  // [C, 3], [C, instances]
  Tensor hits_, without_;  // of the last forward
};

std::vector<ivory::Option> options() {
  return {
      {.name = "words", .fallback = int64_t{44}, .help = "Classes.", .minimum = 2, .maximum = 10000},
      {.name = "instances",
       .fallback = int64_t{200},
       .help = "Patients of a word, the reference among them.",
       .minimum = 1,
       .maximum = 100000},
      {.name = "cube",
       .fallback = std::vector<int64_t>{32, 64, 64},
       .help = "Three sides, D, H, W, of the cubes that are cut from the volumes.",
       .minimum = 14,
       .maximum = 1024,
       .unit = "voxels"},
      {.name = "most_tissue",
       .fallback = 0.2,
       .help =
           "Largest share of dense voxels (from 0.425 of the window on) at a word's place in its reference; 1: any.",
       .minimum = 0,
       .maximum = 1},
      {.name = "class_weight", .fallback = 0.01, .help = "Of the classification.", .minimum = 0, .maximum = 1000},
      {.name = "restore",
       .fallback = true,
       .help = "Whether cubes are restored too; without, the encoder and the head are trained alone."},
      {.name = "elastic",
       .fallback = 991.0,
       .help = "Amplitude of the elastic deformation, smoothed by 8 voxels; 0: none.",
       .minimum = 0,
       .maximum = 100000},
      {.name = "constant_paint",
       .fallback = false,
       .help = "Whether in-painting fills its block with one value, as the Keras code does."},
      {.name = "start",
       .fallback = std::string("fresh"),
       .help = "What the network starts from once the words are found: 'fresh' weights, or those that found the "
               "'words'.",
       .choices = {"fresh", "words"}}};
}

std::string check(const ivory::Options& options) {
  const auto sides = options.get<std::vector<int64_t>>("cube");
  return sides.size() == 3 ? "" : "cube needs three sides, D, H, W, but has " + std::to_string(sides.size());
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(ivory::Descriptor<ivory::Objective>{
      .name = "transvw",
      .summary = "Restoration and classification of visual words: places that look alike in similar patients.",
      .source = "Haghighi et al., Transferable Visual Words, IEEE TMI 2021",
      .options = options(),
      .check = check,
      .kinds = {ivory::SampleKind::volume},
      .create = [](const ivory::Options& options, const ivory::Objective::Context& context)
          -> std::shared_ptr<ivory::Objective> { return std::make_shared<TransVw>(options, context); }});
}
