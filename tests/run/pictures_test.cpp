// Prototypes with their nearest samples, on a cache of volumes that differ in brightness.
#include "run/pictures.h"

#include <gtest/gtest.h>
#include <ivory/fixtures.h>

#include "data/cache_fixtures.h"

namespace ivory::experiment {
namespace {

// Two prototypes: bright and dark samples. Remembers what it was given.
class Brightness : public Objective, public ClusterView {
 public:
  LossTerms forward(Model&, const Batch&) override { return {}; }
  ClusterView* clusters() override { return this; }
  int64_t count() const override { return 3; }
  torch::Tensor scores(Model& model, const torch::Tensor& samples) override {
    EXPECT_FALSE(model.is_training() || is_training() || torch::GradMode::is_enabled());
    shapes.push_back(samples.sizes().vec());
    const auto mean = samples.flatten(1).mean(1);  // [N]
    return torch::stack({mean, -mean, torch::full_like(mean, -100)}, 1);
  }
  std::vector<std::vector<int64_t>> shapes;
};

class Plain : public Objective {
 public:
  LossTerms forward(Model&, const Batch&) override { return {}; }
};

// Says that it looked at two positions, and on which axis.
class Looking : public fixtures::TinyTokenBackbone {
 public:
  explicit Looking(SampledPositions::Axis axis, int64_t length) : TinyTokenBackbone(4), axis_(axis), length_(length) {}
  SampledPositions sampled_positions() const override {
    return {.axis = axis_, .length = length_, .layers = {torch::tensor({{{0.5, 2.0}}}), torch::tensor({{{1.0, 3.0}}})}};
  }

 private:
  SampledPositions::Axis axis_;
  int64_t length_;
};

data::VolumeData flat_volume(const std::string& name, int64_t value) {
  auto volume = data::testing::make_volume(name, {6, 12, 10}, "int16", /*with_labels=*/false);
  volume.pixels.fill_(value);  // of a window of 0 … 2000
  return volume;
}

class PicturesTest : public ::testing::Test {
 protected:
  PicturesTest() {
    data::testing::write_cache(folder_.path() / "cache",
                               {flat_volume("bright", 1900), flat_volume("brighter", 2000), flat_volume("dark", 100)});
    data_ = data::testing::open_data_set(folder_.path() / "cache");
    model_ = fixtures::tiny_model(4, 4, 4);
  }
  StagePictures draw(SampleKind on, const std::shared_ptr<Objective>& objective) {
    return draw_stage(*model_, {{.name = "brightness", .on = on, .objective = objective, .measures = {}}},
                      {.data = *data_, .folder = folder_.path(), .slice_size = 16, .volume_size = {4, 8, 8}},
                      torch::kCPU);
  }

  data::testing::TemporaryFolder folder_;
  std::shared_ptr<const data::DataSet> data_;
  std::shared_ptr<Model> model_;
};

TEST_F(PicturesTest, SlicesStandUnderTheirBestPrototypeNearestFirst) {
  const auto objective = std::make_shared<Brightness>();
  const auto pictures = draw(SampleKind::slice, objective);
  ASSERT_EQ(pictures.prototypes.size(), 2u) << "the third prototype is no sample's best match";
  EXPECT_EQ(pictures.prototypes[0].caption, "prototype 1: best match of 12 of 18 slices");
  EXPECT_TRUE(pictures.prototypes[0].samples.starts_with("brighter slice 0, brighter slice 1"));
  EXPECT_EQ(pictures.prototypes[1].caption, "prototype 2: best match of 6 of 18 slices");
  EXPECT_EQ(objective->shapes.front(), (std::vector<int64_t>{18, 1, 16, 16}));
  for (const auto& picture : pictures.prototypes) {
    EXPECT_GT(std::filesystem::file_size(folder_.path() / "pictures" / picture.file), 0u);
  }
}

TEST_F(PicturesTest, VolumesComeOneByOneInTheModelsFrames) {
  const auto objective = std::make_shared<Brightness>();
  const auto pictures = draw(SampleKind::volume, objective);
  ASSERT_EQ(pictures.prototypes.size(), 2u);
  EXPECT_EQ(pictures.prototypes[0].samples, "brighter, bright");
  EXPECT_EQ(pictures.prototypes[1].samples, "dark");
  EXPECT_EQ(objective->shapes.size(), 3u);
  EXPECT_EQ(objective->shapes.front(), (std::vector<int64_t>{1, 1, 4, 8, 8}));
  EXPECT_FALSE(pictures.attention) << "this backbone does not tell where it looked";
}

TEST_F(PicturesTest, AttentionIsOfTheAxisThatTheBackboneNames) {
  using Axis = SampledPositions::Axis;
  const auto attention = [&](Axis axis, int64_t length) {
    model_ = std::make_shared<ImageVolumeModel>(std::make_shared<fixtures::TinyBackbone>(4),
                                                std::make_shared<Looking>(axis, length), LevelUse::last, 4, 4);
    return draw(SampleKind::volume, std::make_shared<Plain>()).attention;
  };
  const auto of_slices = attention(Axis::slice, 4), of_entries = attention(Axis::embedding, 640);
  ASSERT_TRUE(of_slices && of_entries);
  EXPECT_TRUE(of_slices->of_slices);
  EXPECT_EQ(of_slices->length, 4);
  EXPECT_EQ(of_slices->positions, (std::vector<std::vector<std::vector<double>>>{{{0.5, 2}}, {{1, 3}}}));
  EXPECT_FALSE(of_entries->of_slices);
  EXPECT_EQ(of_entries->length, 640);
  EXPECT_EQ(of_entries->positions, of_slices->positions);
  EXPECT_EQ(of_entries->volume, "bright");
  EXPECT_EQ(of_entries->file, "") << "its slices do not stand above the positions";
}

TEST_F(PicturesTest, AnObjectiveWithoutPrototypesDrawsNone) {
  EXPECT_TRUE(draw(SampleKind::slice, std::make_shared<Plain>()).prototypes.empty());
  EXPECT_TRUE(draw(SampleKind::volume, std::make_shared<Plain>()).prototypes.empty());
}

TEST(ContactSheet, PutsSlicesInRowsWithABorder) {
  const auto sheet = contact_sheet(torch::stack({torch::zeros({2, 2}), torch::ones({2, 2}), torch::zeros({2, 2})}), 2);
  EXPECT_EQ(sheet.sizes(), (std::vector<int64_t>{3, 7, 7}));
  EXPECT_EQ(sheet[0][1][1].item<int>(), 0);
  EXPECT_EQ(sheet[0][1][4].item<int>(), 255);
  EXPECT_EQ(sheet[0][4][1].item<int>(), 0);
  EXPECT_EQ(sheet[0][3][3].item<int>(), 255) << "the border";
}

}  // namespace
}  // namespace ivory::experiment
