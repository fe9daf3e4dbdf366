// The frames of the world in which NRRD and MetaImage say positions: right, or told with a warning.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingest/ingest.h"
#include "ingest/layouts.h"
#include "ingest/stored_files.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Axes of the file run to A, S, R (in our frame: y, z, x), the first voxel lies at (5, -7, 11).
const Geometry odd = {.spacing = {0.5, 2, 1.5}, .origin = {5, -7, 11}, .direction = {0, 0, 1, 1, 0, 0, 0, 1, 0}};

class Frames : public ::testing::Test {
 protected:
  // Vectors of the geometry where x and y of the space may run the other way than ours.
  static std::string vector(const Vector3& v, const std::array<int, 2>& signs) {
    return fmt::format("({},{},{})", v[0] * signs[0], v[1] * signs[1], v[2]);
  }
  Scan nrrd(const std::string& space, const std::array<int, 2>& signs) const {
    std::string directions;
    for (size_t axis = 0; axis < 3; ++axis) {
      Vector3 step;
      for (size_t i = 0; i < 3; ++i) step[i] = odd.direction[i * 3 + axis] * odd.spacing[axis];
      directions += vector(step, signs) + " ";
    }
    write_bytes(folder_.path() / "a.nrrd",
                fmt::format("NRRD0005\ntype: short\ndimension: 3\nsizes: 5 4 3\nendian: little\nencoding: raw\n{}space "
                            "directions: {}\nspace origin: {}\n\n",
                            space, directions, vector(odd.origin, signs)) +
                    raw_bytes(counted({3, 4, 5})));
    return read_scan(folder_.path() / "a.nrrd");
  }
  Scan meta(const std::string& fields) const {
    write_bytes(folder_.path() / "a.mha", "NDims = 3\nDimSize = 5 4 3\nElementSpacing = 0.5 2 1.5\n" + fields +
                                              "ElementType = MET_SHORT\nElementDataFile = LOCAL\n" +
                                              raw_bytes(counted({3, 4, 5})));
    return read_scan(folder_.path() / "a.mha");
  }
  static void expect_odd(const Scan& scan) {
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(scan.geometry.spacing[i], odd.spacing[i], 1e-12);
      EXPECT_NEAR(scan.geometry.origin[i], odd.origin[i], 1e-12);
    }
    for (size_t i = 0; i < 9; ++i) EXPECT_NEAR(scan.geometry.direction[i], odd.direction[i], 1e-12);
  }
  TemporaryFolder folder_;
};

TEST_F(Frames, SpacesOfThePatientAreFollowed) {
  const std::vector<std::pair<std::array<int, 2>, std::vector<const char*>>> spaces = {
      {{1, 1}, {"right-anterior-superior", "RAS", "ras", "Right-Anterior-Superior"}},
      {{-1, 1}, {"left-anterior-superior", "LAS", "las"}},
      {{-1, -1}, {"left-posterior-superior", "LPS", "lps"}}};
  for (const auto& [signs, names] : spaces) {
    for (const std::string name : names) {
      SCOPED_TRACE(name);
      const Scan scan = nrrd("space: " + name + "\n", signs);
      expect_odd(scan);
      EXPECT_THAT(scan.warnings, IsEmpty());
    }
  }
}

TEST_F(Frames, SpacesThatSayNothingOfThePatientAreTakenForLPSWithAWarning) {
  for (const char* space : {"space: scanner-xyz\n", "space: 3D-right-handed\n", "space: 3D-left-handed\n",
                            "space dimension: 3\n", "space: of-my-own\n"}) {
    SCOPED_TRACE(space);
    const Scan scan = nrrd(space, {-1, -1});
    expect_odd(scan);
    EXPECT_THAT(scan.warnings, ElementsAre(HasSubstr("L, P, S")));
  }
}

TEST_F(Frames, ASpaceOfFourDimensionsHasATime) {
  const std::string header =
      "NRRD0005\ntype: short\ndimension: 4\nsizes: 5 4 3 1\nendian: little\nencoding: raw\nspace: "
      "left-posterior-superior-time\nspace directions: (0,-0.5,0,0) (0,0,2,0) (-1.5,0,0,0) (0,0,0,1)\nspace origin: "
      "(-5,7,11,0)\n\n";
  write_bytes(folder_.path() / "a.nrrd", header + raw_bytes(counted({3, 4, 5})));
  expect_odd(read_scan(folder_.path() / "a.nrrd"));
}

TEST_F(Frames, UnitsOfSpace) {
  for (const auto& [unit, factor] : std::map<std::string, double>{{"mm", 1}, {"um", 1e-3}, {"cm", 10}, {"m", 1000}}) {
    const Scan scan = nrrd(fmt::format("space: RAS\nspace units: \"{0}\" \"{0}\" \"{0}\"\n", unit), {1, 1});
    EXPECT_NEAR(scan.geometry.spacing[1], 2 * factor, 1e-9) << unit;
    EXPECT_NEAR(scan.geometry.origin[2], 11 * factor, 1e-9) << unit;
  }
  for (const auto& [unit, factor] : std::map<std::string, double>{{"mm", 1}, {"um", 1e-3}, {"cm", 10}})
    EXPECT_NEAR(meta("TransformMatrix = 1 0 0 0 1 0 0 0 1\nDistanceUnits = " + unit + "\n").geometry.spacing[1],
                2 * factor, 1e-9);
}

TEST_F(Frames, NrrdWithoutDirectionsHasSpacings) {
  const auto with = [&](const std::string& fields) {
    write_bytes(folder_.path() / "a.nrrd",
                "NRRD0004\ntype: short\ndimension: 3\nsizes: 5 4 3\nendian: little\nencoding: "
                "raw\n" +
                    fields + "\n" + raw_bytes(counted({3, 4, 5})));
    return read_scan(folder_.path() / "a.nrrd");
  };
  const Scan spaced = with("spacings: 0.5 2 1.5\n");
  EXPECT_EQ(spaced.geometry.spacing, odd.spacing);
  EXPECT_THAT(spaced.warnings, ElementsAre(HasSubstr("L, P, S")));
  EXPECT_EQ(with("axis mins: 0 0 0\naxis maxs: 2.5 8 4.5\n").geometry.spacing, odd.spacing);
  EXPECT_EQ(with("axis mins: 0 0 0\naxis maxs: 2 6 3\ncenters: node node node\n").geometry.spacing, odd.spacing);
  EXPECT_THAT(with("").warnings, ElementsAre(HasSubstr("taken as 1 mm"), HasSubstr("L, P, S")));
}

TEST_F(Frames, AxesThatAreNotOfSpace) {
  const auto with = [&](const std::string& fields, int64_t copies) {
    const std::string header =
        "NRRD0005\ntype: short\ndimension: 4\nendian: little\nencoding: raw\nspace: LPS\n" + fields;
    write_bytes(folder_.path() / "a.nrrd", header + "\n" + raw_bytes(counted({copies, 3, 4, 5})));
    return read_scan(folder_.path() / "a.nrrd");
  };
  const std::string three = "(0.5,0,0) (0,2,0) (0,0,1.5)";
  EXPECT_EQ(with("sizes: 1 5 4 3\nspace directions: none " + three + "\n", 1).voxels.sizes(),
            (std::vector<int64_t>{3, 4, 5}));
  EXPECT_EQ(with("sizes: 5 4 3 1\nspace directions: " + three + " none\n", 1).voxels.sizes(),
            (std::vector<int64_t>{3, 4, 5}));
  for (const char* fields : {"sizes: 2 5 4 3\nspace directions: none (0.5,0,0) (0,2,0) (0,0,1.5)\n",
                             "sizes: 5 4 3 2\nspace directions: (0.5,0,0) (0,2,0) (0,0,1.5) none\n",
                             "sizes: 5 4 3 2\nkinds: domain domain domain list\nspacings: 1 1 1 nan\n"})
    EXPECT_EQ(failure_of([&] { with(fields, 2); }).code, ExitCode::bad_request) << fields;
}

TEST_F(Frames, MetaImagesMatrixIsOfAxesInTheFrameOfDicom) {
  const std::string matrix = "TransformMatrix = 0 -1 0 0 0 1 -1 0 0\n";
  for (const char* position : {"Offset", "Position", "Origin"}) {
    const Scan scan = meta(matrix + position + " = -5 7 11\n");
    expect_odd(scan);
    EXPECT_THAT(scan.warnings, IsEmpty());
  }
  for (const char* name : {"Rotation", "Orientation"})
    expect_odd(meta(std::string(name) + " = 0 -1 0 0 0 1 -1 0 0\nOffset = -5 7 11\n"));
}

TEST_F(Frames, MetaImagesAnatomicalOrientation) {
  const std::string identity = "TransformMatrix = 1 0 0 0 1 0 0 0 1\n";
  for (const char* fields :
       {"AnatomicalOrientation = RAI\n", "AnatomicalOrientation = LPS\n", "AnatomicalOrientation = ???\n"})
    EXPECT_THAT(meta(identity + fields).warnings, IsEmpty()) << fields;
  const Scan contradicted = meta(identity + "AnatomicalOrientation = RPS\n");
  EXPECT_EQ(axis_codes(contradicted.geometry), "LPS");
  EXPECT_THAT(contradicted.warnings, ElementsAre(HasSubstr("RPS")));
  const Scan agreed = meta("AnatomicalOrientation = RAI\n");
  EXPECT_EQ(axis_codes(agreed.geometry), "LPS");
  EXPECT_THAT(agreed.warnings, IsEmpty());
  for (const char* fields : {"", "AnatomicalOrientation = ???\n", "AnatomicalOrientation = LPS\n"}) {
    const Scan silent = meta(fields);
    EXPECT_EQ(axis_codes(silent.geometry), "LPS");
    EXPECT_THAT(silent.warnings, ElementsAre(HasSubstr("TransformMatrix"))) << fields;
  }
}

TEST_F(Frames, NegativeSpacingRunsTheOtherWay) {
  const std::string identity = "TransformMatrix = 1 0 0 0 1 0 0 0 1\n";
  write_bytes(folder_.path() / "a.mha", "NDims = 3\nDimSize = 5 4 3\nElementSpacing = 0.5 -2 1.5\n" + identity +
                                            "ElementType = MET_SHORT\nElementDataFile = LOCAL\n" +
                                            raw_bytes(counted({3, 4, 5})));
  const Scan scan = read_scan(folder_.path() / "a.mha");
  EXPECT_EQ(axis_codes(scan.geometry), "LAS");
  EXPECT_THAT(scan.warnings, ElementsAre(HasSubstr("negative")));
}

TEST_F(Frames, IntensitiesOfMetaImagesAreApplied) {
  const Scan scan = meta(
      "TransformMatrix = 1 0 0 0 1 0 0 0 1\nElementToIntensityFunctionSlope = 2\n"
      "ElementToIntensityFunctionOffset = -3\n");
  EXPECT_TRUE(torch::equal(scan.voxels.to(torch::kInt64), counted({3, 4, 5}).to(torch::kInt64) * 2 - 3));
}

// Masks that cover a box of the image's grid, as Slicer crops them.
TEST_F(Frames, MasksOfABoxArePlaced) {
  const torch::Tensor image = counted({6, 8, 10});
  const torch::Tensor box = (counted({3, 5, 6}) % 3).to(torch::kUInt8);
  const auto read = [&](const Geometry& of_mask, const torch::Tensor& mask) {
    write_nifti(folder_.path() / "a.nii", image, odd);
    write_nifti(folder_.path() / "m.nii", mask, of_mask);
    return read_volume({.name = "a", .image = folder_.path() / "a.nii", .label = folder_.path() / "m.nii"},
                       {.modality = "ct"});
  };
  const auto moved = [](const std::array<double, 3>& voxels) {
    Geometry g = odd;
    for (size_t i = 0; i < 3; ++i)
      for (size_t axis = 0; axis < 3; ++axis) g.origin[i] += g.direction[i * 3 + axis] * g.spacing[axis] * voxels[axis];
    return g;
  };
  torch::Tensor whole = torch::zeros({6, 8, 10}, torch::kUInt8);
  whole.slice(0, 2, 5).slice(1, 1, 6).slice(2, 4, 10) = box;
  EXPECT_TRUE(torch::equal(read(moved({4, 1, 2}), box).labels, read(odd, whole).labels));
  EXPECT_THAT(read(moved({4, 1, 2}), box).info.notes, HasSubstr("placed"));
  for (const auto& off : std::vector<std::array<double, 3>>{{5, 1, 2}, {-1, 1, 2}, {4.5, 1, 2}, {4, 1, 3.5}})
    EXPECT_EQ(failure_of([&] { read(moved(off), box); }).code, ExitCode::bad_request);
}

}  // namespace
}  // namespace ivory::ingest
