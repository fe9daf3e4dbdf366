// Foreign bytes in the place of a NIfTI file: a volume or an error in one sentence, never anything else, and no more
// memory than the file can fill.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ivory/random.h>

#include <cstdlib>
#include <limits>

#include "config/experiment.h"
#include "ingest/ingest.h"
#include "ingest/scan.h"
#include "ingest/volume_files.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using data::testing::Failure;
using ::testing::HasSubstr;

class NiftiBytes : public ::testing::Test {
 protected:
  Failure failure(const std::string& bytes) const {
    write_bytes(file_, bytes);
    return failure_of([&] { read_nifti(file_); });
  }
  std::string compressed(const std::string& bytes) const {
    write_bytes(folder_.path() / "b.nii", bytes);
    EXPECT_EQ(std::system(("gzip -n " + (folder_.path() / "b.nii").string()).c_str()), 0);
    std::ifstream in(folder_.path() / "b.nii.gz", std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // Of a file with `value` at a byte of its header.
  template <class T>
  Failure with(size_t offset, T value, const NiftiOptions& options = {}) const {
    std::string bytes = nifti_bytes(counted({4, 3, 2}), {}, options);
    std::memcpy(&bytes[offset], &value, sizeof value);
    return failure(bytes);
  }

  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_.path() / "a.nii";
};

TEST_F(NiftiBytes, RandomDamage) {
  CounterRandom random(5, 0, 0, 0);
  const std::string little = nifti_bytes(counted({4, 3, 2}), {}, {.slope = 2, .qform = 1});
  const std::string big = nifti_bytes(counted({4, 3, 2}).to(torch::kFloat64), {}, {.big_endian = true});
  int refused = 0;
  for (const std::string& whole : {little, big, compressed(little)}) {
    EXPECT_EQ(failure(whole).message, "");
    const auto size = static_cast<int64_t>(whole.size());
    for (int trial = 0; trial < 700; ++trial) {
      std::string damaged = whole;
      for (int64_t flips = random.below(4) + 1; flips > 0; --flips)
        damaged[static_cast<size_t>(random.below(size))] = static_cast<char>(random.bits());
      if (random.below(4) == 0) damaged.resize(static_cast<size_t>(random.below(size)));
      const Failure answer = failure(damaged);
      if (answer.message.empty()) continue;
      ++refused;
      EXPECT_THAT(answer.message, HasSubstr("a.nii: ")) << "trial " << trial;
      EXPECT_EQ(answer.message.find('\n'), std::string::npos) << answer.message;
    }
  }
  EXPECT_GT(refused, 700);
}

TEST_F(NiftiBytes, AnAnnouncedSizeTakesNoMemory) {
  std::string bytes = nifti_bytes(counted({4, 3, 2}), {});
  const int16_t longest = std::numeric_limits<int16_t>::max();
  for (size_t axis = 0; axis < 3; ++axis) std::memcpy(&bytes[42 + 2 * axis], &longest, sizeof longest);
  EXPECT_THAT(failure(bytes).message, HasSubstr("the header announces 7.04e+07 MB of voxels, which a file of"));
  EXPECT_THAT(with(108, 2.6e8F).message, HasSubstr("is truncated, the header announces 48 bytes of voxels"));
}

TEST_F(NiftiBytes, NumbersThatAreNone) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinite = std::numeric_limits<float>::infinity();
  const NiftiOptions quaternion{.qform = 1, .sform = 0};
  for (const float value : {nan, infinite, 3e38F}) {
    const char* what = std::isfinite(value) ? "the header's qform is no rotation" : "qform holds what is no number";
    EXPECT_THAT(with(256, value, quaternion).message, HasSubstr(what)) << value;
    EXPECT_EQ(with(108, value).code, ExitCode::bad_request) << value;
  }
  for (const float value : {nan, infinite}) {
    EXPECT_THAT(with(280, value).message, HasSubstr("sform holds what is no number, and it has no qform")) << value;
    EXPECT_THAT(with(268, value, quaternion).message, HasSubstr("qform holds what is no number")) << value;
    EXPECT_EQ(with(112, value).message, "") << "a slope that is no number stands for none";
  }
}

TEST_F(NiftiBytes, DimensionsThatAreNone) {
  for (const int16_t count : {-1, 0, 1, 8, 32767}) {
    EXPECT_THAT(with(40, count).message, HasSubstr("dimensions, expected 2 or 3")) << count;
  }
  EXPECT_THAT(with(42, int16_t{0}).message, HasSubstr("dimension 1 is 0 voxels long"));
  EXPECT_THAT(with(46, int16_t{-5}).message, HasSubstr("dimension 3 is -5 voxels long"));
  EXPECT_THAT(with(70, int16_t{1792}).message, HasSubstr("NIfTI data type 1792 is not read"));
}

TEST_F(NiftiBytes, ASpacingThatMakesMillionsOfVoxelsIsRefused) {
  Geometry geometry;
  geometry.spacing = {1, 1, 1e9};
  write_bytes(file_, nifti_bytes(counted({4, 3, 2}), geometry));
  const config::VolumeSource source{.name = "a", .image = file_.string()};
  config::DataSpec spec;
  spec.spacing = {0, 0, 1};
  EXPECT_THAT(failure_of([&] { read_volume(source, spec); }).message,
              HasSubstr("a.nii: is 4e+09 mm long, which makes more than 1048576 voxels of 1 mm"));
}

}  // namespace
}  // namespace ivory::ingest
