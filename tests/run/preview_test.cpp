// Contact sheets of views: what lies where, and what decides it.
#include "run/preview.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/cache_fixtures.h"

namespace ivory::experiment {
namespace {

using namespace data::testing;
using torch::Tensor;

class Preview : public ::testing::Test {
 protected:
  Preview() {
    write_cache(folder_.path(), {make_volume("a", {5, 12, 10}), make_volume("b", {6, 20, 40}),
                                 make_volume("film", {1, 30, 15}, "uint8")});
    stage_.slice_views.crops = {{.count = 2, .size = 24}, {.count = 3, .size = 12, .scale_min = 0.1, .scale_max = 0.3}};
    stage_.volume_views = {.count = 2, .size = {8, 16, 16}};
  }
  Tensor sheet(const PreviewRequest& request) const {
    return preview_sheet(open_data_set(folder_.path()), stage_, request);
  }

  TemporaryFolder folder_;
  config::StageSpec stage_;
};

// Pixels of a cell of size × size in a sheet.
Tensor cell(const Tensor& sheet, int64_t row, int64_t column, int64_t size) {
  return sheet[0].narrow(0, row * (size + 1) + 1, size).narrow(1, column * (size + 1) + 1, size);
}

TEST_F(Preview, OfSlicesHasTheUntouchedSliceAndEachView) {
  const Tensor made = sheet({.samples = 4});
  EXPECT_EQ(made.sizes(), (std::vector<int64_t>{3, 4 * 25 + 1, 6 * 25 + 1}));
  EXPECT_EQ(made.scalar_type(), torch::kUInt8);
  for (int64_t row = 0; row < 4; ++row) {
    for (int64_t view = 3; view < 6; ++view) {  // small ones: their pixels, and black around them
      const Tensor small = cell(made, row, view, 24).clone();
      EXPECT_GT(small.narrow(0, 6, 12).narrow(1, 6, 12).sum().item<int64_t>(), 0);
      small.narrow(0, 6, 12).narrow(1, 6, 12).zero_();
      EXPECT_EQ(small.sum().item<int64_t>(), 0);
    }
    EXPECT_FALSE(torch::equal(cell(made, row, 1, 24), cell(made, row, 2, 24)));
  }
}

TEST_F(Preview, DependsOnTheSeedAlone) {
  for (const SampleKind kind : {SampleKind::slice, SampleKind::volume}) {
    const Tensor first = sheet({.kind = kind, .samples = 2, .seed = 5});
    EXPECT_TRUE(torch::equal(sheet({.kind = kind, .samples = 2, .seed = 5}), first));
    EXPECT_FALSE(torch::equal(sheet({.kind = kind, .samples = 2, .seed = 6}), first));
  }
}

TEST_F(Preview, UntouchedSlicesKeepTheirProportions) {
  stage_.data_weights = {1};
  const Tensor made = sheet({.samples = 12});  // all of them
  int64_t wide = 0, high = 0;
  for (int64_t row = 0; row < 12; ++row) {
    const Tensor slice = cell(made, row, 0, 24).to(torch::kInt64);
    const bool borders_above = slice.narrow(0, 0, 6).sum().item<int64_t>() == 0;
    const bool borders_beside = slice.narrow(1, 0, 6).sum().item<int64_t>() == 0;
    wide += borders_above, high += borders_beside;
  }
  EXPECT_EQ(wide, 6) << "20 × 40 becomes 12 × 24: six rows above";
  EXPECT_EQ(high, 1) << "30 × 15 becomes 24 × 12";
}

TEST_F(Preview, OfVolumesHasFramesOfEachViewAndNoImages) {
  const Tensor made = sheet({.kind = SampleKind::volume, .samples = 2});
  EXPECT_EQ(made.sizes(), (std::vector<int64_t>{3, 2 * 17 + 1, 9 * 17 + 1})) << "one untouched, four of two views";
  EXPECT_FALSE(torch::equal(cell(made, 0, 1, 16), cell(made, 0, 2, 16))) << "frames differ";
}

}  // namespace
}  // namespace ivory::experiment
