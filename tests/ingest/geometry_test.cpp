// Orientation: however a file's axes lie, the same voxels come to the same place.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "ingest/ingest.h"
#include "ingest/volume_files.h"
#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using torch::Tensor;

// One volume as it lies in the patient, stored along other axes.
struct Stored {
  Tensor voxels;
  Geometry geometry;
};

// Axis a of the file runs along axis order[a] of `whole`, backwards where reversed[a].
Stored stored(const Stored& whole, const std::array<int64_t, 3>& order, const std::array<bool, 3>& reversed) {
  Stored other{whole.voxels.permute({2 - order[2], 2 - order[1], 2 - order[0]}), whole.geometry};
  for (size_t a = 0; a < 3; ++a) {
    const auto axis = static_cast<size_t>(order[a]);
    const double sign = reversed[a] ? -1 : 1;
    other.geometry.spacing[a] = whole.geometry.spacing[axis];
    for (size_t i = 0; i < 3; ++i) {
      const double cosine = whole.geometry.direction[i * 3 + axis];
      other.geometry.direction[i * 3 + a] = sign * cosine;
      const double length = static_cast<double>(whole.voxels.size(2 - order[a]) - 1) * whole.geometry.spacing[axis];
      if (reversed[a]) other.geometry.origin[i] += cosine * length;
    }
    if (reversed[a]) other.voxels = other.voxels.flip(2 - static_cast<int64_t>(a));
  }
  return other;
}

template <size_t count>
void expect_near(const std::array<double, count>& got, const std::array<double, count>& expected, double tolerance) {
  for (size_t i = 0; i < count; ++i) EXPECT_NEAR(got[i], expected[i], tolerance) << "entry " << i;
}

// LPS order, turned a little about z: nothing about it is symmetric.
Stored oblique() {
  const double c = std::cos(0.2), s = std::sin(0.2);
  return {counted({3, 4, 5}),
          {.spacing = {0.8, 0.9, 2.5}, .origin = {12, -7, 30}, .direction = {-c, s, 0, -s, -c, 0, 0, 0, 1}}};
}

class Orientation : public ::testing::TestWithParam<const char*> {
 protected:
  std::filesystem::path write(const Stored& scan) const {
    auto file = folder_.path() / (std::string("scan") + GetParam());
    if (file.extension() == ".nii") write_nifti(file, scan.voxels, scan.geometry);
    if (file.extension() == ".mha") write_meta(file, scan.voxels, scan.geometry);
    if (file.extension() == ".nrrd") write_nrrd(file, scan.voxels, scan.geometry);
    return file;
  }
  TemporaryFolder folder_;
};

TEST_P(Orientation, AllFortyEightComeToTheSameArray) {
  const Stored whole = oblique();
  std::array<int64_t, 3> order = {0, 1, 2};
  std::set<std::string> codes;
  do {
    for (unsigned bits = 0; bits < 8; ++bits) {
      const std::array<bool, 3> reversed = {(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0};
      Scan scan = read_scan(write(stored(whole, order, reversed)));
      const std::string code = axis_codes(scan.geometry);
      SCOPED_TRACE(code);
      codes.insert(code);
      reorient(scan);
      EXPECT_TRUE(torch::equal(scan.voxels, whole.voxels));
      expect_near(scan.geometry.spacing, whole.geometry.spacing, 1e-6);  // NIfTI holds float32
      expect_near(scan.geometry.origin, whole.geometry.origin, 1e-5);
      expect_near(scan.geometry.direction, whole.geometry.direction, 1e-6);
      EXPECT_EQ(scan.notes.empty(), code == "LPS");
      if (!scan.notes.empty()) EXPECT_EQ(scan.notes[0], "reoriented from " + code);
      EXPECT_TRUE(scan.warnings.empty());
    }
  } while (std::next_permutation(order.begin(), order.end()));
  EXPECT_EQ(codes.size(), 48U);
}

INSTANTIATE_TEST_SUITE_P(Formats, Orientation, ::testing::Values(".nii", ".mha", ".nrrd"));

TEST(Geometry, TheStoredAffinePutsVoxelsWhereTheFileDid) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "a.nii";
  const Stored scan = stored(oblique(), {2, 0, 1}, {true, false, true});
  write_nifti(file, scan.voxels, scan.geometry);
  const auto volume = read_volume({.name = "a", .image = file.string()}, {.modality = "ct"});
  EXPECT_EQ(volume.info.orientation, "LPS");
  const auto& info = volume.info;
  const Geometry& g = scan.geometry;
  for (const auto& [i, j, k] : {std::array{0, 0, 0}, std::array{2, 1, 3}, std::array{1, 4, 2}}) {
    const auto value = scan.voxels[k][j][i].item<int16_t>();
    const Tensor at = (volume.pixels == value).nonzero()[0];  // slice, row, column
    for (size_t x = 0; x < 3; ++x) {
      const double in_file = g.origin[x] + g.direction[x * 3] * g.spacing[0] * i +
                             g.direction[x * 3 + 1] * g.spacing[1] * j + g.direction[x * 3 + 2] * g.spacing[2] * k;
      double in_cache = info.origin[x];
      for (size_t axis = 0; axis < 3; ++axis)
        in_cache += info.direction[x * 3 + axis] * info.spacing[axis] * at[static_cast<int64_t>(axis)].item<double>();
      EXPECT_NEAR(in_cache, in_file, 1e-5) << "coordinate " << x;  // float32 in the file
    }
  }
}

TEST(Geometry, QuaternionsGiveTheAxes) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "a.nii";
  const std::vector<std::tuple<std::array<float, 3>, float, std::string>> cases = {
      {{0, 0, 0}, 1, "RAS"}, {{0, 0, 0}, -1, "RAI"}, {{0, 0, 1}, 1, "LPS"}, {{0.5, 0.5, 0.5}, 1, "ASR"}};
  for (const auto& [quaternion, qfac, codes] : cases) {
    const Geometry geometry{.spacing = {1, 2, 3}, .origin = {4, 5, 6}};
    write_nifti(file, counted({2, 3, 4}), geometry, {.qform = 1, .sform = 0, .quaternion = quaternion, .qfac = qfac});
    const Scan scan = read_scan(file);
    EXPECT_EQ(axis_codes(scan.geometry), codes);
    EXPECT_EQ(scan.geometry.spacing, geometry.spacing);
    EXPECT_EQ(scan.geometry.origin, geometry.origin);
  }
}

TEST(Geometry, WithoutAFormAxesAreTakenAsRASAndSaidSo) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "a.nii";
  write_nifti(file, counted({2, 3, 4}), {}, {.sform = 0});
  const Scan scan = read_scan(file);
  EXPECT_EQ(axis_codes(scan.geometry), "RAS");
  EXPECT_THAT(scan.warnings, ::testing::ElementsAre(HasSubstr("neither sform nor qform")));
}

Geometry sheared(double by) {
  Geometry geometry;
  geometry.direction = {-1, by, 0, 0, -std::sqrt(1 - by * by), 0, 0, 0, 1};
  return geometry;
}

TEST(Geometry, AxesNearlyAtRightAnglesAreMadeSoWithAWarning) {
  const TemporaryFolder folder;
  for (const char* name : {"a.nii", "a.mha", "a.nrrd"}) {
    const auto file = folder.path() / name;
    const auto write = [&](double by) {
      if (file.extension() == ".nii") write_nifti(file, counted({2, 3, 4}), sheared(by));
      if (file.extension() == ".mha") write_meta(file, counted({2, 3, 4}), sheared(by));
      if (file.extension() == ".nrrd") write_nrrd(file, counted({2, 3, 4}), sheared(by));
    };
    write(4e-4);
    const Scan scan = read_scan(file);
    EXPECT_LT(skew(scan.geometry.direction), 1e-12);
    EXPECT_THAT(scan.warnings, ::testing::ElementsAre(HasSubstr("orthonormalised"))) << name;
    write(5e-3);
    const auto failure = failure_of([&] { read_scan(file); });
    EXPECT_EQ(failure.code, ExitCode::bad_request) << name;
    EXPECT_THAT(failure.message, HasSubstr(file.string())) << name;
    EXPECT_THAT(failure.message, HasSubstr("not at right angles")) << name;
  }
}

TEST(Geometry, AShearedSformGivesWayToTheQform) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "a.nii";
  write_nifti(file, counted({2, 3, 4}), sheared(0.1), {.qform = 1, .quaternion = {0, 0, 1}});
  const Scan scan = read_scan(file);
  EXPECT_EQ(axis_codes(scan.geometry), "LPS");
  EXPECT_THAT(scan.warnings, ::testing::ElementsAre(HasSubstr("sform is sheared; its qform is used")));
}

TEST(Geometry, UnitsOtherThanMillimetresAreConverted) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "a.nii";
  write_nifti(file, counted({2, 3, 4}), {.spacing = {500, 500, 2000}, .origin = {1000, 0, 0}}, {.units = 3});
  const Scan scan = read_scan(file);
  expect_near(scan.geometry.spacing, {0.5, 0.5, 2}, 1e-9);
  expect_near(scan.geometry.origin, {1, 0, 0}, 1e-9);
}

class Mask : public ::testing::Test {
 protected:
  std::string fault(const Tensor& voxels, const Geometry& geometry) const {
    write_nifti(folder_.path() / "image.nii", counted({4, 5, 6}));
    write_nifti(folder_.path() / "mask.nii", voxels, geometry);
    return failure_of([&] {
             read_volume({.name = "a",
                          .image = (folder_.path() / "image.nii").string(),
                          .label = (folder_.path() / "mask.nii").string()},
                         {.modality = "ct"});
           })
        .message;
  }
  Tensor labels(torch::IntArrayRef shape = {4, 5, 6}) const { return torch::ones(shape, torch::kUInt8); }
  TemporaryFolder folder_;
};

TEST_F(Mask, OnTheImagesGridIsTaken) {
  EXPECT_EQ(fault(labels(), {}), "");
  EXPECT_EQ(fault(labels(), {.origin = {0.0005, 0, 0}}), "");  // within 1e-3 mm
}

TEST_F(Mask, StoredAlongOtherAxesIsTaken) {
  const Stored turned = stored({labels(), {}}, {1, 2, 0}, {false, true, true});
  EXPECT_EQ(fault(turned.voxels, turned.geometry), "");
}

TEST_F(Mask, OfOtherGeometryIsRefusedInOneSentence) {
  EXPECT_THAT(fault(labels({4, 5, 7}), {}), HasSubstr("it has 7 × 5 × 4 voxels, the image 6 × 5 × 4"));
  EXPECT_THAT(fault(labels(), {.spacing = {1, 1, 1.01}}), HasSubstr("its voxels are 1 × 1 × 1.01 mm"));
  EXPECT_THAT(fault(labels(), {.origin = {0, 3, 4}}), HasSubstr("its first voxel lies 5 mm away"));
  Geometry turned;
  turned.direction = {-std::cos(0.1), std::sin(0.1), 0, -std::sin(0.1), -std::cos(0.1), 0, 0, 0, 1};
  EXPECT_THAT(fault(labels(), turned), HasSubstr("its axes are turned"));
  EXPECT_THAT(fault(labels(), {.origin = {0, 3, 4}}), HasSubstr("mask.nii is not on the grid of "));
}

TEST_F(Mask, HoldsWholeNumbersOnly) {
  Tensor broken = torch::ones({4, 5, 6});
  broken[1][2][3] = 1.5;
  EXPECT_THAT(fault(broken, {}), HasSubstr("mask.nii: voxel (3, 2, 1) is 1.5, but label ids are whole numbers"));
  broken[1][2][3] = -1;
  EXPECT_THAT(fault(broken, {}), HasSubstr("is -1, but label ids"));
  EXPECT_EQ(fault(torch::ones({4, 5, 6}), {}), "");  // whole numbers in float32
}

}  // namespace
}  // namespace ivory::ingest
