#include "data/labelled_boxes.h"

#include <gtest/gtest.h>

#include "data/loader_fixtures.h"
#include "data/manifest.h"

namespace ivory::data {
namespace {

using namespace testing;
using torch::Tensor;

VolumeData marked(const std::string& name, std::vector<MarkedBox> boxes, bool with_labels = false) {
  VolumeData volume = make_volume(name, {1, 40, 60}, "int16", with_labels);
  volume.info.orientation = "planar";
  volume.info.boxes = std::move(boxes);
  return volume;
}

class LabelledBoxes : public ::testing::Test {
 protected:
  void store(const std::vector<VolumeData>& volumes) {
    write_cache(folder_.path(), volumes);
    data_ = open_data_set(folder_.path());
  }
  LabelledSamples samples() const {
    LabelledSamples samples{.unit = SampleKind::slice, .classes = {{1}, {2, 3}}, .size = {1, 80, 80}, .boxes = true};
    for (int32_t v = 0; v < static_cast<int32_t>(data_->volumes.size()); ++v) samples.slices.push_back({v, 0});
    return samples;
  }
  static LoaderOptions in_order(int64_t batch) {
    return {.batch_size = batch, .workers = 0, .shuffle = false, .drop_last = false};
  }

  TemporaryFolder folder_;
  std::shared_ptr<const DataSet> data_;
};

std::vector<std::vector<double>> rows(const Tensor& corners) {
  std::vector<std::vector<double>> result;
  for (int64_t i = 0; i < corners.size(0); ++i) {
    result.emplace_back();
    for (int64_t j = 0; j < 4; ++j) result.back().push_back(corners[i][j].item<double>());
  }
  return result;
}

TEST_F(LabelledBoxes, AreInTheCache) {
  const std::vector<MarkedBox> boxes = {{0, 1, {1.5, 2.25, 30, 40}}, {0, 3, {0, 0, 60, 0.1}}};
  store({marked("a", boxes), marked("b", {}), make_volume("c", {1, 8, 8})});
  EXPECT_EQ(data_->info(0).boxes, boxes);
  ASSERT_TRUE(data_->info(1).boxes.has_value());
  EXPECT_TRUE(data_->info(1).boxes->empty());
  EXPECT_FALSE(data_->info(2).boxes.has_value());
  EXPECT_TRUE(is_labelled(data_->info(0)));
  EXPECT_TRUE(data_->caches[0]->verify().empty());
}

TEST_F(LabelledBoxes, ChangeTheCachesHashWhereThereAreSome) {
  StoredVolume plain;
  plain.info = make_volume("a", {1, 40, 60}).info;
  plain.shard = "a.h5";
  StoredVolume none = plain, one = plain;
  none.info.boxes.emplace();
  one.info.boxes = {{0, 1, {1, 2, 3, 4}}};
  EXPECT_NE(content_hash_of({plain}), content_hash_of({none}));
  EXPECT_NE(content_hash_of({none}), content_hash_of({one}));
  const std::string text = to_text({"identity", "", {plain}});
  EXPECT_EQ(text.find("boxes"), std::string::npos) << "manifests without boxes are what they were";
  EXPECT_FALSE(parse_manifest(text, "here").volumes[0].info.boxes.has_value()) << "and are read";
}

TEST_F(LabelledBoxes, AreRefusedWhereTheyCannotBe) {
  const auto message = [&](const MarkedBox& box) {
    return failure_of([&] { write_cache(folder_.path(), {marked("a", {box})}); }).message;
  };
  EXPECT_EQ(message({0, 1, {5, 5, 5, 9}}),
            "volume a: the box (5, 5, 5, 9) has no area, expected x_min < x_max and y_min < y_max");
  EXPECT_EQ(message({0, 1, {5, 5, 61, 9}}),
            "volume a: the box (5, 5, 61, 9) is not within its image of 60 x 40 pixels");
  EXPECT_EQ(message({0, 1, {-1, 5, 6, 9}}),
            "volume a: the box (-1, 5, 6, 9) is not within its image of 60 x 40 pixels");
  EXPECT_EQ(message({1, 1, {5, 5, 6, 9}}), "volume a: a box in slice 1, expected 0 to 0");
  EXPECT_EQ(message({0, -1, {5, 5, 6, 9}}), "volume a: a box of label -1, expected 0 to 32767");
}

TEST_F(LabelledBoxes, ComeWithTheirImagesAtItsSize) {
  store({marked("a", {{0, 1, {0, 0, 30, 10}}, {0, 9, {1, 1, 2, 2}}, {0, 3, {15, 20, 45, 40}}}), marked("b", {})});
  const auto loader = make_task_loader(data_, samples(), in_order(2));
  loader->start(0, 0);
  const auto batch = *loader->next();
  ASSERT_EQ(batch.boxes.size(), 2U);
  EXPECT_EQ(rows(batch.boxes[0].corners), (std::vector<std::vector<double>>{{0, 0, 40, 20}, {20, 40, 60, 80}}));
  EXPECT_TRUE(torch::equal(batch.boxes[0].classes, torch::tensor({1, 2}, torch::kInt64))) << "label 9 is no class";
  EXPECT_EQ(batch.boxes[1].corners.sizes(), (std::vector<int64_t>{0, 4})) << "an image without any box";
  EXPECT_EQ(batch.boxes[1].classes.numel(), 0);
  EXPECT_EQ(batch.images.pixels.sizes(), (std::vector<int64_t>{2, 1, 80, 80}));
}

TEST_F(LabelledBoxes, OfALabelMapAreAroundItsRegions) {
  VolumeData volume = make_volume("a", {1, 40, 60});
  volume.labels.zero_();
  volume.labels[0].slice(0, 2, 5).slice(1, 10, 20) = 1;
  volume.labels[0][5][20] = 1;  // touches by a corner
  volume.labels[0].slice(0, 30, 31).slice(1, 0, 60) = 2;
  volume.labels[0].slice(0, 31, 33).slice(1, 5, 7) = 3;  // of the same class
  volume.labels[0].slice(0, 20, 22).slice(1, 58, 60) = 1;
  store({volume});
  const ClassTable classes({{1}, {2, 3}});
  const auto found = boxes_of_slice(*data_, 0, 0, classes);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].corners, (std::array<double, 4>{10, 2, 21, 6}));
  EXPECT_EQ(found[1].corners, (std::array<double, 4>{58, 20, 60, 22}));
  EXPECT_EQ(found[2].corners, (std::array<double, 4>{0, 30, 60, 33}));
  EXPECT_EQ(classes[static_cast<int16_t>(found[2].label)], 2);
}

// A bright rectangle and the box around it stay together.
TEST_F(LabelledBoxes, StayOnTheirFindingUnderEveryAugmentation) {
  VolumeData volume = marked("a", {{0, 1, {20, 10, 36, 30}}});
  volume.pixels.zero_();
  volume.pixels[0].slice(0, 10, 30).slice(1, 20, 36) = 2000;
  store({volume});
  auto of = samples();
  of.augment = true;
  const auto loader = make_task_loader(data_, of, in_order(1));
  for (int64_t epoch = 0; epoch < 40; ++epoch) {
    loader->start(epoch, 0);
    const auto batch = *loader->next();
    ASSERT_EQ(batch.boxes[0].classes.numel(), 1) << "a finding is never cropped away";
    const auto box = batch.boxes[0].corners[0];
    const auto image = batch.images.pixels[0][0];
    const auto bright = (image > (image.min() + image.max()) / 2).nonzero();
    const auto low = std::get<0>(bright.min(0)), high = std::get<0>(bright.max(0)) + 1;
    const double blurred = 1.5;  // pixels that resampling and the threshold may move an edge
    EXPECT_NEAR(box[0].item<double>(), low[1].item<double>(), blurred) << epoch;
    EXPECT_NEAR(box[1].item<double>(), low[0].item<double>(), blurred) << epoch;
    EXPECT_NEAR(box[2].item<double>(), high[1].item<double>(), blurred) << epoch;
    EXPECT_NEAR(box[3].item<double>(), high[0].item<double>(), blurred) << epoch;
  }
}

TEST_F(LabelledBoxes, PartsHoldEveryBoxButAFifth) {
  CounterRandom random(1, 2, 3, 4);
  const std::vector<MarkedBox> boxes = {{0, 1, {10, 5, 20, 15}}, {0, 1, {30, 20, 50, 30}}};
  int64_t smallest = 60;
  for (int trial = 0; trial < 200; ++trial) {
    const auto drawn = draw_box_augmentation(random, boxes, 40, 60);
    const Box& part = drawn.part;
    EXPECT_GE(part.column, 0);
    EXPECT_LE(part.column, 12);
    EXPECT_GE(part.column + part.columns, 46);
    EXPECT_LE(part.column + part.columns, 60);
    EXPECT_LE(part.row, 7);
    EXPECT_GE(part.row + part.rows, 28);
    EXPECT_LE(part.row + part.rows, 40);
    smallest = std::min(smallest, part.columns);
  }
  EXPECT_LT(smallest, 45) << "parts are drawn, not the whole image";
}

TEST_F(LabelledBoxes, FlippedBoxesAreMirrored) {
  const ClassTable classes({{1}});
  const auto placed =
      place_boxes({{0, 1, {0, 0, 15, 10}}}, classes, {.part = {0, 0, 40, 60}, .flip = true, .tone = {}}, 60);
  EXPECT_EQ(rows(placed.corners), (std::vector<std::vector<double>>{{45, 0, 60, 15}}));
  const auto cut = place_boxes({{0, 1, {0, 0, 15, 10}}}, classes, {.part = {0, 14, 40, 40}, .tone = {}}, 20);
  EXPECT_EQ(rows(cut.corners), (std::vector<std::vector<double>>{{0, 0, 0.5, 5}}));
  const auto gone = place_boxes({{0, 1, {0, 0, 15, 10}}}, classes, {.part = {0, 14, 40, 40}, .tone = {}}, 10);
  EXPECT_EQ(gone.classes.numel(), 0) << "less than half a pixel is left";
}

// networks_tasks.md §4: threshold .4, share .1 → 2; share .3 → 2.
TEST_F(LabelledBoxes, ImagesOfRareClassesComeSeveralTimes) {
  std::vector<VolumeData> volumes;
  for (int64_t i = 0; i < 10; ++i) {
    std::vector<MarkedBox> boxes;
    if (i == 0) boxes.push_back({0, 1, {1, 1, 5, 5}});
    if (i > 0 && i < 4) boxes.push_back({0, 2, {1, 1, 5, 5}});
    volumes.push_back(marked("v" + std::to_string(i), boxes));
  }
  store(volumes);
  auto of = samples();
  EXPECT_EQ(make_task_loader(data_, of, in_order(1))->batches(), 10);
  of.repeat_below = 0.4;
  EXPECT_EQ(make_task_loader(data_, of, in_order(1))->batches(), 2 + 3 * 2 + 6);
  of.repeat_below = 0.05;
  EXPECT_EQ(make_task_loader(data_, of, in_order(1))->batches(), 10);
}

TEST_F(LabelledBoxes, NeedMasksOrBoxes) {
  store({make_volume("a", {1, 8, 8}, "int16", false)});
  EXPECT_EQ(failure_of([&] { make_task_loader(data_, samples(), in_order(1)); }).message,
            "volume a has no labels, expected them for every volume of a split with masks");
}

}  // namespace
}  // namespace ivory::data
