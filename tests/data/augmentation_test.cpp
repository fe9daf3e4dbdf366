// What happens to a slice between the cache and a batch, against independent references.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "data/crop.h"
#include "data/intensity.h"
#include "data/resample.h"
#include "support/golden.h"

namespace ivory::data {
namespace {

using test::fill;
using test::golden;
using torch::Tensor;

Tensor resized(const Tensor& image, const Box& box, const Resize& resize) {
  const Tensor source = image.to(torch::kFloat32).contiguous();
  const auto* pixels = source.data_ptr<float>();
  const int64_t columns = source.size(1);
  Tensor out = torch::empty({resize.rows, resize.columns});
  resample([&](int64_t row, int64_t first,
               std::span<float> to) { std::copy_n(pixels + row * columns + first, to.size(), to.begin()); },
           box, resize, out.data_ptr<float>());
  return out;
}

Tensor values_of(const nlohmann::json& entry, torch::IntArrayRef shape) {
  return torch::tensor(entry.at("values").get<std::vector<double>>(), torch::kDouble).view(shape).to(torch::kFloat32);
}

// float32 sums of at most 20 products of numbers below 1, in another order.
constexpr double rounding = 2e-6;

TEST(Resample, CropsAreResizedAsTorchInterpolates) {
  const auto reference = golden("augmentation");
  const Tensor image = fill({reference.at("shape")[0], reference.at("shape")[1]}, 1);
  for (const auto& entry : reference.at("resizes")) {
    SCOPED_TRACE(entry.at("box").dump() + " to " + entry.at("size").dump());
    const auto box = entry.at("box").get<std::array<int64_t, 4>>();
    const auto size = entry.at("size").get<std::array<int64_t, 2>>();
    Resize resize{.rows = size[0], .columns = size[1], .antialias = entry.at("antialias"), .flip = false};
    const Tensor expected = values_of(entry, size);
    const Box crop{box[0], box[1], box[2], box[3]};
    EXPECT_TRUE(torch::allclose(resized(image, crop, resize), expected, 0, rounding));
    resize.flip = true;
    EXPECT_TRUE(torch::allclose(resized(image, crop, resize), expected.flip(1), 0, rounding));
  }
}

TEST(Resample, TheSameSizeIsTheSameImage) {
  const Tensor image = fill({19, 23}, 3).to(torch::kFloat32);
  for (const bool antialias : {true, false})
    EXPECT_TRUE(
        torch::equal(resized(image, {0, 0, 19, 23}, {.rows = 19, .columns = 23, .antialias = antialias}), image));
}

TEST(Resample, ReadsEveryRowOfTheCropOnceAtMostAndNoOther) {
  std::vector<int> reads(40, 0);
  std::vector<float> out(static_cast<size_t>(9 * 9));
  resample(
      [&](int64_t row, int64_t first, std::span<float> to) {
        ++reads.at(static_cast<size_t>(row));
        EXPECT_EQ(first, 3);
        EXPECT_EQ(to.size(), 20U);
        std::ranges::fill(to, 1.0F);
      },
      {5, 3, 30, 20}, {.rows = 9, .columns = 9}, out.data());
  for (size_t row = 0; row < reads.size(); ++row) EXPECT_EQ(reads[row], row >= 5 && row < 35 ? 1 : 0) << "row " << row;
  for (const float value : out) EXPECT_NEAR(value, 1, 1e-6);  // weights sum to one
}

TEST(Crop, LiesInTheSliceWithTheAreaAndTheAspectAskedFor) {
  CounterRandom random(1, 2, 3, 4);
  double smallest = 1, largest = 0;
  for (int i = 0; i < 2000; ++i) {
    const Box box = draw_crop(random, 200, 300, 0.1, 0.5, 4.0 / 3.0);
    ASSERT_GE(box.row, 0);
    ASSERT_GE(box.column, 0);
    ASSERT_LE(box.row + box.rows, 200);
    ASSERT_LE(box.column + box.columns, 300);
    const double area = static_cast<double>(box.rows * box.columns) / (200 * 300);
    const double aspect = static_cast<double>(box.columns) / static_cast<double>(box.rows);
    // Sides are rounded to whole pixels: half a pixel in 70.
    ASSERT_GT(area, 0.1 * 0.985);
    ASSERT_LT(area, 0.5 * 1.015);
    ASSERT_GT(aspect, 0.75 * 0.985);
    ASSERT_LT(aspect, 4.0 / 3.0 * 1.015);
    smallest = std::min(smallest, area), largest = std::max(largest, area);
  }
  EXPECT_LT(smallest, 0.11);
  EXPECT_GT(largest, 0.47);
}

TEST(Crop, WhereNoDrawingFitsItIsTheLargestCentredBoxOfAnAllowedAspect) {
  CounterRandom random(1, 2, 3, 4);
  const Box box = draw_crop(random, 30, 300, 1, 1, 4.0 / 3.0);
  EXPECT_EQ(box.rows, 30);
  EXPECT_EQ(box.columns, 40);
  EXPECT_EQ(box.row, 0);
  EXPECT_EQ(box.column, 130);
  const Box whole = draw_crop(random, 48, 48, 1, 1, 1);
  EXPECT_EQ(whole.rows, 48);
  EXPECT_EQ(whole.columns, 48);
}

TEST(Intensity, BlurIsAGaussianCutOffAtThreeSigma) {
  for (const auto& entry : golden("augmentation").at("blurs")) {
    const auto shape = entry.at("shape").get<std::array<int64_t, 2>>();
    Tensor image = fill(shape, 2).to(torch::kFloat32);
    blur({image.data_ptr<float>(), static_cast<size_t>(image.numel())}, shape[0], shape[1], entry.at("sigma"));
    EXPECT_TRUE(torch::allclose(image, values_of(entry, shape), 0, rounding)) << entry.at("sigma");
  }
}

std::vector<float> toned(Tone tone, std::vector<float> image) {
  tone_and_normalise(tone, image);
  return image;
}

TEST(Intensity, TonesHaveTheirClosedForm) {
  const std::vector<float> image = {0, 0.1F, 0.25F, 0.5F, 0.9F, 1};
  const double mean = std::accumulate(image.begin(), image.end(), 0.0) / 6;
  for (const Tone& tone : {Tone{}, Tone{.brightness = 1.5F}, Tone{.contrast = 0.4F}, Tone{.gamma = 1.2F},
                           Tone{.brightness = 0.3F, .contrast = 1.7F, .gamma = 0.8F}}) {
    const auto got = toned(tone, image);
    for (size_t i = 0; i < image.size(); ++i) {
      const double moved = tone.brightness * ((image[i] - mean) * tone.contrast + mean);
      const double expected = (std::pow(std::clamp(moved, 0.0, 1.0), tone.gamma) - 0.5) / 0.25;
      EXPECT_NEAR(got[i], expected, 1e-5) << "value " << i;  // float arithmetic and the power's 1e-6, over 0.25
    }
  }
}

// x ↦ 1 − x from 0.5 on, whatever else is done: the tone in the same pass, the blur before it.
TEST(Intensity, SolarisesWhatElseWouldBeWritten) {
  const auto solarised = [](std::vector<float> image) {
    for (float& value : image) {
      const float x = 0.25F * value + 0.5F;
      value = ((x >= 0.5F ? 1 - x : x) - 0.5F) / 0.25F;
    }
    return image;
  };
  Tensor image = (fill({9, 31}, 5).to(torch::kFloat32) + 1) / 2;
  const size_t count = 9 * 31;
  const std::vector<float> values(image.data_ptr<float>(), image.data_ptr<float>() + count);
  for (const Tone& tone :
       {Tone{}, Tone{.brightness = 1.5F}, Tone{.gamma = 1.2F}, Tone{.contrast = 0.4F, .gamma = 0.9F}}) {
    auto plain = values, inverted = values;
    tone_and_normalise(tone, plain);
    tone_and_normalise(tone, inverted, /*solarise=*/true);
    const auto expected = solarised(plain);
    for (size_t i = 0; i < count; ++i) ASSERT_NEAR(inverted[i], expected[i], 1e-6) << i;
    blur(plain, 9, 31, 1.3);
    auto blurred = values;
    tone_and_normalise(tone, blurred);
    blur(blurred, 9, 31, 1.3, /*solarise=*/true);
    const auto after = solarised(plain);
    for (size_t i = 0; i < count; ++i) ASSERT_NEAR(blurred[i], after[i], 1e-6) << i;
  }
}

TEST(Intensity, PowersAreWithinAMillionth) {
  for (const double gamma : {0.5, 0.7, 0.74, 1.0, 1.35, 1.5, 2.0}) {
    std::vector<float> values = {0, 1e-30F, 1e-12F, 1e-6F};
    for (int i = 0; i <= 5000; ++i) values.push_back(static_cast<float>(i / 5000.0));
    std::vector<float> raised = values;
    raise(raised, gamma);
    for (size_t i = 0; i < values.size(); ++i)
      ASSERT_NEAR(raised[i], std::pow(static_cast<double>(values[i]), gamma), 1e-6) << values[i] << " ^ " << gamma;
  }
}

TEST(Intensity, TonesAreDrawnInTheRangesOfTheirStrength) {
  CounterRandom random(1, 2, 3, 4);
  CounterRandom other(5, 2, 3, 4);
  const int count = 4000;
  int unchanged = 0;
  float lowest = 9, highest = 0;
  for (int i = 0; i < count; ++i) {
    const Tone tone = draw_tone(random, 0.5);
    unchanged += tone.brightness == 1 && tone.contrast == 1 && tone.gamma == 1;
    for (const float factor : {tone.brightness, tone.contrast}) {
      lowest = std::min(lowest, factor), highest = std::max(highest, factor);
    }
    ASSERT_LE(std::abs(std::log(tone.gamma)), 0.15001);
    ASSERT_EQ(draw_tone(other, 0.5, /*gamma=*/0).gamma, 1);
  }
  EXPECT_NEAR(unchanged, count * 0.2, 5 * std::sqrt(count * 0.2 * 0.8));  // five standard deviations
  EXPECT_GE(lowest, 0.6F);
  EXPECT_LT(lowest, 0.605F);
  EXPECT_LE(highest, 1.4F);
  EXPECT_GT(highest, 1.395F);
  const Tone off = draw_tone(random, 0);
  EXPECT_EQ(off.brightness, 1);
  EXPECT_EQ(off.contrast, 1);
  EXPECT_EQ(off.gamma, 1);
}

}  // namespace
}  // namespace ivory::data
