// NIfTI headers that say a thing twice, once of them wrongly; labels that are whole numbers but for rounding.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ingest/ingest.h"
#include "ingest/volume.h"
#include "ingest/volume_files.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

class NiftiForms : public ::testing::Test {
 protected:
  // A quarter turn about z, as sform and as qform, with chosen floats at chosen bytes of the header.
  Scan read(const NiftiOptions& options, const std::map<size_t, float>& patches) const {
    const Geometry turned = {
        .spacing = {0.5, 2, 1.5}, .origin = {5, -7, 11}, .direction = {0, -1, 0, 1, 0, 0, 0, 0, 1}};
    NiftiOptions all = options;
    all.quaternion = {0, 0, std::sqrt(0.5F)};
    std::string bytes = nifti_bytes(counted({3, 4, 5}), turned, all);
    for (const auto& [at, value] : patches) std::memcpy(&bytes[at], &value, sizeof value);
    write_bytes(file_, bytes);
    return read_scan(file_);
  }
  static std::map<size_t, float> floats(size_t first, size_t count, float value) {
    std::map<size_t, float> all;
    for (size_t i = 0; i < count; ++i) all[first + 4 * i] = value;
    return all;
  }
  static void expect_turned(const Scan& scan) {
    const Vector3 spacing = {0.5, 2, 1.5}, origin = {5, -7, 11};
    const Matrix3 direction = {0, -1, 0, 1, 0, 0, 0, 0, 1};
    for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(scan.geometry.spacing[i], spacing[i], 1e-6);
    for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(scan.geometry.origin[i], origin[i], 1e-6);
    for (size_t i = 0; i < 9; ++i) EXPECT_NEAR(scan.geometry.direction[i], direction[i], 1e-6);
  }
  data::testing::Failure failure(const NiftiOptions& options, const std::map<size_t, float>& patches) const {
    return failure_of([&] { read(options, patches); });
  }

  // Of the sform's three rows at byte 280.
  const std::vector<std::map<size_t, float>> broken_sforms_ = {
      floats(280, 12, 0), floats(280, 12, nan_value), floats(280, 12, infinity),
      {{280, nan_value}}, {{292, nan_value}},         {{324, infinity}},
      {{284, 0}},         {{280, 0.3F}, {284, -1.9F}}};
  const std::vector<std::map<size_t, float>> broken_qforms_ = {
      {{256, nan_value}}, {{264, infinity}}, {{268, nan_value}}, {{256, 0.9F}, {260, 0.9F}}};
  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_.path() / "a.nii";
};

TEST_F(NiftiForms, ABrokenSformGivesWayToTheQform) {
  for (const auto& patches : broken_sforms_) {
    const Scan scan = read({.qform = 1, .sform = 1}, patches);
    expect_turned(scan);
    EXPECT_THAT(scan.warnings, ElementsAre(HasSubstr("qform is used")));
  }
}

TEST_F(NiftiForms, ABrokenQformIsNotAskedBesideASform) {
  for (const auto& patches : broken_qforms_) {
    const Scan scan = read({.qform = 1, .sform = 1}, patches);
    expect_turned(scan);
    EXPECT_THAT(scan.warnings, IsEmpty());
  }
}

TEST_F(NiftiForms, TheOnlyFormBrokenIsRefused) {
  for (const auto& patches : broken_sforms_) {
    EXPECT_EQ(failure({.qform = 0, .sform = 1}, patches).code, ExitCode::bad_request);
    for (auto both : broken_qforms_) {
      both.insert(patches.begin(), patches.end());
      EXPECT_EQ(failure({.qform = 1, .sform = 1}, both).code, ExitCode::bad_request);
    }
  }
  for (const auto& patches : broken_qforms_)
    EXPECT_EQ(failure({.qform = 1, .sform = 0}, patches).code, ExitCode::bad_request);
}

TEST_F(NiftiForms, AVoxelSizeThatIsNoneIsOneMillimetreWithAWarning) {
  for (const float none : {0.0F, nan_value, infinity}) {
    const Scan scan = read({.qform = 1, .sform = 0}, {{84, none}});
    EXPECT_EQ(scan.geometry.spacing[1], 1);
    EXPECT_THAT(scan.warnings, ElementsAre(HasSubstr("axis 2")));
    EXPECT_THAT(read({.qform = 1, .sform = 1}, {{84, none}}).warnings, IsEmpty()) << "the sform says it";
  }
}

TEST_F(NiftiForms, ASlopeWithoutAnInterceptIsRefused) {
  for (const float none : {nan_value, infinity, -infinity}) {
    EXPECT_EQ(failure({.slope = 2, .intercept = none}, {}).code, ExitCode::bad_request);
    EXPECT_TRUE(torch::equal(read({.slope = none, .intercept = none}, {}).voxels, counted({3, 4, 5})));
    EXPECT_TRUE(torch::equal(read({.slope = 0, .intercept = none}, {}).voxels, counted({3, 4, 5})));
  }
}

class NearIntegers : public ::testing::Test {
 protected:
  ReadVolume read(const torch::Tensor& labels, const NiftiOptions& options = {}) const {
    write_nifti(folder_.path() / "a.nii", counted({2, 3, 4}));
    write_nifti(folder_.path() / "m.nii", labels, {}, options);
    return read_with_warnings({.name = "a", .image = folder_.path() / "a.nii", .label = folder_.path() / "m.nii"},
                              {.modality = "ct"});
  }
  static torch::Tensor ids(torch::ScalarType type) { return (counted({2, 3, 4}) % 3).to(type); }
  TemporaryFolder folder_;
};

TEST_F(NearIntegers, AreRoundedWithOneWarning) {
  const torch::Tensor whole = read(ids(torch::kUInt8)).volume.labels;
  const std::vector<std::pair<torch::Tensor, NiftiOptions>> kinds = {{ids(torch::kFloat32) * 0.99999994F, {}},
                                                                     {ids(torch::kFloat64) * (1 + 4e-9), {}},
                                                                     {ids(torch::kFloat32) + 9e-4F, {}},
                                                                     {ids(torch::kFloat32) - 9e-4F, {}},
                                                                     {ids(torch::kFloat32) - 1e-30F, {}},
                                                                     {ids(torch::kUInt8) * 127, {.slope = 1 / 127.0F}},
                                                                     {ids(torch::kInt16) * 255, {.slope = 1 / 255.0F}}};
  for (const auto& [labels, options] : kinds) {
    const auto volume = read(labels, options);
    EXPECT_TRUE(torch::equal(volume.volume.labels, whole));
    if (options.slope == NiftiOptions().slope) EXPECT_THAT(volume.warnings, ElementsAre(HasSubstr("rounded")));
  }
  for (const auto type : {torch::kFloat32, torch::kFloat64, torch::kInt32, torch::kUInt64}) {
    EXPECT_TRUE(torch::equal(read(ids(type)).volume.labels, whole));
    EXPECT_THAT(read(ids(type)).warnings, IsEmpty());
  }
}

TEST_F(NearIntegers, WhatIsNotNearIsRefusedWithItsDigits) {
  const std::vector<std::pair<torch::Tensor, const char*>> kinds = {{ids(torch::kFloat32) * 0.9F, "0.9"},
                                                                    {ids(torch::kFloat32) + 0.0011F, "0.0011"},
                                                                    {ids(torch::kFloat64) * 0.998, "0.998"},
                                                                    {ids(torch::kInt16) - 1, "-1"},
                                                                    {ids(torch::kFloat32) - 1, "-1"},
                                                                    {ids(torch::kInt32) * 20000, "40000"},
                                                                    {ids(torch::kFloat64) * 1e10, "10000000000"},
                                                                    {ids(torch::kFloat32) * nan_value, "nan"}};
  for (const auto& [labels, digits] : kinds) {
    const auto bad = failure_of([&, &ids_of = labels] { read(ids_of); });
    EXPECT_EQ(bad.code, ExitCode::bad_request);
    EXPECT_THAT(bad.message, HasSubstr(std::string("is ") + digits));
  }
}

}  // namespace
}  // namespace ivory::ingest
