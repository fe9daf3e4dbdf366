// The page of a fingerprint and its pictures.
#include "report/fingerprint_page.h"

#include <gmock/gmock.h>

#include "report/plane_picture.h"
#include "report/sample_fingerprint.h"

namespace ivory::experiment {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using torch::Tensor;

// [rows, columns] of one grey, mm between rows and columns.
data::PlaneView plane(int64_t rows, int64_t columns, std::array<double, 2> spacing, double grey = 0.5) {
  return {.grey = torch::full({rows, columns}, grey),
          .labels = torch::zeros({rows, columns}, torch::kInt16),
          .spacing = spacing};
}

std::vector<int> pixel(const Tensor& rgb, int64_t y, int64_t x) {
  const Tensor values = rgb.select(1, y).select(1, x).to(torch::kInt32);
  return {values.data_ptr<int>(), values.data_ptr<int>() + 3};
}

TEST(PlanePicture, HasSquarePixelsOnOneScale) {
  // 20 × 40 mm; 60 × 40 mm and 60 × 20 mm: the longest side, 60 mm, has 120 pixels.
  const data::VolumeView view{.volume = 0,
                              .axial = plane(40, 50, {0.5, 0.8}),
                              .coronal = plane(12, 50, {5, 0.8}),
                              .sagittal = plane(12, 40, {5, 0.5})};
  const Tensor rgb = draw_planes(view, {}, 120);
  EXPECT_EQ(rgb.sizes(), (std::vector<int64_t>{3, 120, 80 + 6 + 80 + 6 + 40}));
  EXPECT_EQ(pixel(rgb, 60, 40), (std::vector<int>{128, 128, 128}));
  EXPECT_EQ(pixel(rgb, 39, 40), (std::vector<int>{0, 0, 0})) << "the axial plane is 40 pixels high, in the middle";
  EXPECT_EQ(pixel(rgb, 40, 40), (std::vector<int>{128, 128, 128}));
  EXPECT_EQ(pixel(rgb, 0, 86), (std::vector<int>{128, 128, 128})) << "the coronal plane";
  EXPECT_EQ(pixel(rgb, 0, 83), (std::vector<int>{0, 0, 0})) << "the gap";
}

TEST(PlanePicture, LabelsLieWhereTheyAre) {
  data::VolumeView view{.volume = 0, .axial = plane(4, 4, {1, 1}), .coronal = {}, .sagittal = {}};
  view.axial.labels[0].narrow(0, 2, 2).fill_(5);   // above, on the right
  view.axial.labels[3].narrow(0, 0, 2).fill_(99);  // no label of the list
  const Tensor rgb = draw_planes(view, {3, 5}, 40);
  EXPECT_EQ(label_colour(1), "#56b4e9");
  // 0.55 · 127.5 + 0.45 · (86, 180, 233)
  EXPECT_EQ(pixel(rgb, 0, 39), (std::vector<int>{109, 151, 175}));
  EXPECT_EQ(pixel(rgb, 9, 20), (std::vector<int>{109, 151, 175}));
  EXPECT_EQ(pixel(rgb, 10, 39), (std::vector<int>{128, 128, 128}));
  EXPECT_EQ(pixel(rgb, 0, 19), (std::vector<int>{128, 128, 128}));
  EXPECT_EQ(pixel(rgb, 39, 0), (std::vector<int>{128, 128, 128}));
}

TEST(FingerprintPage, TellsEverythingAndNeedsNothingElse) {
  const std::string page = fingerprint_page(test::sample_fingerprint(), "<scans>");
  EXPECT_THAT(page, HasSubstr("<title>Fingerprint of &lt;scans&gt;</title>"));
  for (const char* heading :
       {"Splits", "Duplicates", "Middle slices", "Modality ct", "Modality mr", "Labels", "Volumes"})
    EXPECT_THAT(page, HasSubstr(std::string(">") + heading + "</h2>"));
  EXPECT_THAT(page, HasSubstr("<strong>Warning:</strong> patient &#39;patient of ct-0&#39; is in more than one split"));
  EXPECT_THAT(page, HasSubstr("ct-0 (patient patient of ct-0), ct-2 (patient patient of ct-2) have the same pixels"));
  EXPECT_THAT(page, Not(HasSubstr("://")));
  EXPECT_THAT(page, Not(HasSubstr("<link")));
  size_t pictures = 0, at = 0;
  while ((at = page.find(" src=\"", at)) != std::string::npos) {
    EXPECT_EQ(page.compare(at, 27, " src=\"data:image/png;base64"), 0);
    ++pictures, ++at;
  }
  EXPECT_EQ(pictures, 4u);
  for (const char* name : {"ct-0", "ct-1", "ct-2", "mr-0"})
    EXPECT_THAT(page, HasSubstr(std::string("<figcaption>") + name + "</figcaption>"));
  EXPECT_THAT(page, Not(HasSubstr(" → "))) << "a histogram has no first and last value";
}

TEST(FingerprintPage, ASharedPatientThatIsAllowedIsNoWarning) {
  auto fingerprint = test::sample_fingerprint();
  fingerprint.splits[0].allow_shared_patients = true;
  EXPECT_THAT(fingerprint_page(fingerprint, "scans"), HasSubstr("<li>patient &#39;patient of ct-0&#39;"));
}

// Air fills most of the volume: its bin would flatten the others.
TEST(FingerprintPage, ABinOfMostVoxelsIsLeftOutOfTheChartAndTold) {
  const std::string page = fingerprint_page(test::sample_fingerprint(), "scans");
  EXPECT_THAT(page, HasSubstr("% from 0 on (all voxels)"));
}

}  // namespace
}  // namespace ivory::experiment
