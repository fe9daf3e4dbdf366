#include <gtest/gtest.h>
#include <ivory/metrics.h>

#include <cmath>

#include "plugins/task_stubs.h"
#include "support/errors.h"
#include "support/plugins.h"

namespace ivory {
namespace {

// The feature of an image is its first pixels.
class FirstPixels : public Backbone {
 public:
  explicit FirstPixels(int64_t width) : width_(width) {}
  BackboneInfo info() const override { return {.input = Input::image, .width = width_}; }
  Features forward(const torch::Tensor& input) override { return {.pooled = input.flatten(1).narrow(1, 0, width_)}; }

 private:
  int64_t width_;
};

std::shared_ptr<Task> knn_of_pixels(int64_t width, const test::Settings& settings,
                                    const std::vector<std::string>& classes) {
  const auto model =
      std::make_shared<ImageVolumeModel>(std::make_shared<FirstPixels>(width), nullptr, LevelUse::last, 8, 4);
  return test::make<Task>("knn", settings, {.model = model, .classes = classes, .volume_names = {}, .size = {1, 2, 2}});
}

// Slices of 2 × 2 pixels with features at these angles (degrees) and of any length.
TaskBatch slices_at(const std::vector<double>& degrees, const std::vector<int64_t>& has_class) {
  const auto count = static_cast<int64_t>(degrees.size());
  TaskBatch batch;
  batch.images.pixels = torch::zeros({count, 1, 2, 2}, torch::kFloat64);
  batch.masks = torch::zeros({count, 2, 2}, torch::kInt64);
  for (int64_t i = 0; i < count; ++i) {
    const double angle = degrees[i] / 180 * M_PI, length = 1.0 + static_cast<double>(i);
    batch.images.pixels[i][0][0] = torch::tensor({length * std::cos(angle), length * std::sin(angle)}, torch::kFloat64);
    batch.masks[i][1][1] = has_class[i];
  }
  batch.volume = batch.position = torch::zeros({count}, torch::kInt64);
  return batch;
}

// Round 0°: a slice with the class between two without, 10° away (cosine 0.985); round 180°, the other way round.
double auc_of_first_query(int64_t k, double temperature) {
  const auto task = knn_of_pixels(2, {{"k", k}, {"temperature", temperature}}, {"a"});
  task->loss(slices_at({0, 10, 180}, {1, 0, 0}));
  task->loss(slices_at({-10, 170, 190}, {0, 1, 1}));
  task->evaluate(slices_at({0, 180}, {1, 0}));
  return task->scores().values.front().value;
}

TEST(Knn, VotesByHand) {
  EXPECT_EQ(auc_of_first_query(/*k=*/1, 0.07), 1) << "votes 1 and 0";
  EXPECT_EQ(auc_of_first_query(/*k=*/3, 0.005), 1) << "exp(0.015 / 0.005) = 21: votes 0.91 and 0.09";
  EXPECT_EQ(auc_of_first_query(/*k=*/3, 0.07), 0) << "exp(0.015 / 0.07) = 1.24: votes 0.38 and 0.62";
  EXPECT_EQ(auc_of_first_query(/*k=*/20, 0.005), 1) << "all six vote";
}

// The same by sorting, one query after the other.
std::vector<std::vector<double>> votes_by_sorting(const torch::Tensor& bank, const torch::Tensor& classes,
                                                  const torch::Tensor& queries, size_t k, double temperature) {
  std::vector<std::vector<double>> votes;
  for (int64_t q = 0; q < queries.size(0); ++q) {
    std::vector<std::pair<double, int64_t>> order;
    for (int64_t i = 0; i < bank.size(0); ++i) {
      order.emplace_back(-torch::cosine_similarity(queries[q], bank[i], 0).item<double>(), i);
    }
    std::sort(order.begin(), order.end());
    std::vector<double> of_class(static_cast<size_t>(classes.size(1)));
    double all = 0;
    for (size_t n = 0; n < k; ++n) {
      const double weight = std::exp(-order[n].first / temperature);
      all += weight;
      for (int64_t c = 0; c < classes.size(1); ++c) {
        if (classes[order[n].second][c].item<bool>()) of_class[static_cast<size_t>(c)] += weight;
      }
    }
    for (double& value : of_class) value /= all;
    votes.push_back(of_class);
  }
  return votes;
}

TEST(Knn, AgreesWithSortingEverySlice) {
  torch::manual_seed(3);
  const auto draw = [](int64_t count) {
    TaskBatch batch;
    batch.images.pixels = torch::randn({count, 1, 2, 4}, torch::kFloat64);
    batch.masks =
        torch::randint(0, 3, {count, 2, 4}, torch::kInt64) * torch::randint(0, 2, {count, 1, 1}, torch::kInt64);
    batch.volume = batch.position = torch::zeros({count}, torch::kInt64);
    return batch;
  };
  const auto present = [](const TaskBatch& batch) {
    return torch::stack({(batch.masks == 1).sum({1, 2}) >= 3, (batch.masks == 2).sum({1, 2}) >= 3}, 1);
  };
  const auto task = knn_of_pixels(8, {{"k", int64_t{7}}, {"temperature", 0.2}, {"min_pixels", int64_t{3}}}, {"a", "b"});
  const TaskBatch first = draw(20), second = draw(13), queries = draw(30);
  task->loss(first);
  task->loss(second);
  const auto bank = torch::cat({first.images.pixels, second.images.pixels}).flatten(1);
  const auto votes =
      votes_by_sorting(bank, torch::cat({present(first), present(second)}), queries.images.pixels.flatten(1), 7, 0.2);
  for (int again = 0; again < 2; ++again) {  // validation, then test: the neighbours stay
    task->evaluate(queries);
    const Scores scores = task->scores();
    for (int64_t c = 0; c < 2; ++c) {
      std::vector<double> of_class;
      for (const auto& vote : votes) of_class.push_back(vote[static_cast<size_t>(c)]);
      const double expected =
          auc(torch::tensor(of_class, torch::kFloat64), present(queries).select(1, c).to(torch::kInt64));
      EXPECT_DOUBLE_EQ(scores.values.at(static_cast<size_t>(c) + 1).value, expected);
    }
    EXPECT_EQ(scores.values[0].name, "auc");
    EXPECT_EQ(scores.values[2].name, "auc/b");
    EXPECT_DOUBLE_EQ(scores.values[0].value, (scores.values[1].value + scores.values[2].value) / 2);
    EXPECT_EQ(scores.counts.back(), (std::pair<std::string, int64_t>{"neighbours", 33}));
  }
}

std::shared_ptr<Task> knn_of_volumes(const std::string& features, bool with_inter = true) {
  torch::manual_seed(1);
  const auto inter = with_inter ? std::make_shared<test::TinyTokens>(8) : nullptr;
  const auto model =
      std::make_shared<ImageVolumeModel>(std::make_shared<test::TinyImage>(), inter, LevelUse::all, 8, 4);
  return test::make<Task>(
      "knn", {{"k", int64_t{1}}, {"features", features}},
      {.model = model, .classes = {"benign", "malignant"}, .volume_names = {}, .size = {1, 32, 32}});
}

TaskBatch volumes(int64_t count) {
  torch::manual_seed(2);
  TaskBatch batch;
  batch.images.pixels = torch::randn({count, 1, 4, 32, 32});
  batch.volume = torch::arange(count);
  batch.position = torch::zeros({count}, torch::kInt64);
  return batch;
}

TEST(Knn, WholeVolumesByTheirLabels) {
  const auto task = knn_of_volumes("holistic");
  EXPECT_EQ(task->needs().unit, SampleKind::volume);
  EXPECT_EQ(task->needs().target, Target::label);
  TaskBatch batch = volumes(4);
  batch.labels = torch::tensor({0, 1, 1, 0});
  task->loss(batch);
  batch.labels = torch::tensor({0, 1, 0, 0});  // its own neighbour says 1 of the third
  task->evaluate(batch);
  const Scores scores = task->scores();
  EXPECT_EQ(scores.values.at(0).name, "auc");
  EXPECT_EQ(scores.values.at(1).name, "accuracy");
  EXPECT_DOUBLE_EQ(scores.values[1].value, 0.75);
  EXPECT_DOUBLE_EQ(scores.values[0].value, 2.5 / 3) << "votes for malignant: 0, 1, 1, 0";
}

TEST(Knn, TokensAreClassifiedFrameByFrame) {
  const auto task = knn_of_volumes("tokens");
  EXPECT_EQ(task->needs().unit, SampleKind::volume);
  EXPECT_EQ(task->needs().target, Target::masks);
  TaskBatch batch = volumes(2);
  batch.masks = torch::zeros({2, 4, 32, 32}, torch::kInt64);
  batch.masks[0][1][0][0] = batch.masks[1][3][0][0] = batch.masks[1][2][5][5] = 1;
  task->loss(batch);
  task->evaluate(batch);
  const Scores scores = task->scores();
  EXPECT_EQ(scores.counts.at(0), (std::pair<std::string, int64_t>{"slices with benign", 3}));
  EXPECT_EQ(scores.values.at(1).value, 1) << "every frame is its own neighbour";
}

TEST(Knn, TakesAnyModelOfVolumes) {
  const auto backbone = [](const std::string&, const Backbone::Context&) {
    return std::make_shared<test::TinyVolume>();
  };
  const auto model = test::make<Model>("encoder", {}, {.backbone = backbone});
  const auto knn = [&](const std::string& features) {
    return test::make<Task>("knn", {{"k", int64_t{1}}, {"features", features}},
                            {.model = model, .classes = {"benign", "malignant"}, .volume_names = {}});
  };
  const auto task = knn("holistic");
  TaskBatch batch = volumes(4);
  batch.labels = torch::tensor({0, 1, 1, 0});
  task->loss(batch);
  task->evaluate(batch);
  EXPECT_EQ(task->scores().values.at(1).value, 1) << "every volume is its own neighbour";
  EXPECT_THAT(test::bad_request_of([&] { knn("slices"); }), testing::HasSubstr("takes no slices"));
  EXPECT_THAT(test::bad_request_of([&] { knn("tokens"); }), testing::HasSubstr("'image-volume'"));
}

TEST(Knn, TrainsNothing) {
  for (const auto& parameter : knn_of_volumes("holistic")->named_parameters()) {
    EXPECT_FALSE(parameter.value().requires_grad()) << parameter.key();
  }
}

TEST(Knn, SaysWhatItNeeds) {
  EXPECT_EQ(test::bad_request_of([] { knn_of_volumes("tokens", /*with_inter=*/false); }),
            "task knn: features = \"tokens\" are a volume backbone's, [model] names none");
  EXPECT_EQ(test::bad_request_of([] {
              knn_of_pixels(2, {{"features", std::string("holistic")}}, {"a"});
            }),
            "task knn: whole volumes need at least two classes, the negative one too, got 1");
  EXPECT_EQ(test::bad_request_of([] { knn_of_volumes("holistic")->evaluate(volumes(1)); }),
            "task knn: there are no neighbours: loss() sees the training split first");
}

}  // namespace
}  // namespace ivory
