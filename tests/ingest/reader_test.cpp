#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ingest/ingest.h"
#include "ingest/volume_files.h"
#include "ingest/voxels.h"
#include "support/data_folder.h"
#include "support/golden.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using torch::Tensor;

Tensor doubles(const Tensor& voxels) {
  return mapped<double>(voxels, [](auto value) { return value; });
}

// nibabel, SimpleITK and pydicom read the same files: tests/reference/scans.py.
TEST(Reader, AgreesWithIndependentReadersOnRealFiles) {
  const auto samples = test::data_folder("format_samples");
  if (!samples) GTEST_SKIP() << "IVORY_DATA names no folder with format_samples";
  const auto reference = test::golden("scans");
  for (const auto& expected : reference.at("scans")) {
    const std::string file = expected.at("file");
    SCOPED_TRACE(file);
    Scan scan = read_scan(*samples / file);
    reorient(scan);
    ASSERT_EQ(scan.voxels.sizes().vec(), expected.at("shape").get<std::vector<int64_t>>());
    for (size_t axis = 0; axis < 3; ++axis) {
      // float32 headers, and slice positions with three decimals.
      EXPECT_NEAR(scan.geometry.spacing[2 - axis], expected.at("spacing")[axis].get<double>(), 1e-4);
      EXPECT_NEAR(scan.geometry.origin[axis], expected.at("origin")[axis].get<double>(), 1e-3);
      for (size_t i = 0; i < 3; ++i)
        EXPECT_NEAR(scan.geometry.direction[i * 3 + 2 - axis], expected.at("direction")[i * 3 + axis].get<double>(),
                    1e-4);
    }
    const Tensor values = doubles(scan.voxels);
    EXPECT_NEAR(values.mean().item<double>(), expected.at("mean").get<double>(), 1e-6);
    EXPECT_NEAR(values.std(/*unbiased=*/false).item<double>(), expected.at("deviation").get<double>(), 1e-6);
    EXPECT_EQ(values.min().item<double>(), expected.at("low").get<double>());
    EXPECT_EQ(values.max().item<double>(), expected.at("high").get<double>());
    for (const auto& voxel : expected.at("voxels")) {
      const auto at = voxel.at("at").get<std::array<int64_t, 3>>();
      EXPECT_EQ(values[at[0]][at[1]][at[2]].item<double>(), voxel.at("value").get<double>()) << voxel.dump();
    }
  }
}

TEST(Reader, TakesTheModalityOfADicomSeriesAndItsLabelsFromNifti) {
  const auto samples = test::data_folder("format_samples");
  if (!samples) GTEST_SKIP() << "IVORY_DATA names no folder with format_samples";
  const auto volume = read_volume({.name = "ct",
                                   .image = (*samples / "dicom_ct_jpeg2000_totalsegmentator").string(),
                                   .label = (*samples / "dicom_ct_jpeg2000_totalsegmentator_seg.nii.gz").string()},
                                  {});
  EXPECT_EQ(volume.info.modality, "ct");
  EXPECT_EQ(volume.info.window, (std::array<double, 2>{-1000, 1000}));
  EXPECT_EQ(volume.info.dtype, "int16");
  EXPECT_TRUE(volume.info.has_labels);
  EXPECT_EQ(std::get<0>(torch::_unique(volume.labels)).size(0), 32);  // 31 classes and background
}

class Nifti : public ::testing::Test {
 protected:
  std::filesystem::path file_named(const std::string& name = "a.nii") const { return folder_.path() / name; }
  data::VolumeData read() const {
    return read_volume({.name = "a", .image = file_named().string()}, {.modality = "ct"});
  }
  data::testing::Failure failure(const std::string& name = "a.nii") const {
    return failure_of([&] { read_volume({.name = "a", .image = file_named(name).string()}, {.modality = "ct"}); });
  }
  TemporaryFolder folder_;
};

TEST_F(Nifti, EveryTypeInBothByteOrders) {
  for (const auto type : {torch::kUInt8, torch::kInt8, torch::kInt16, torch::kInt32, torch::kInt64, torch::kFloat32,
                          torch::kFloat64, torch::kUInt16, torch::kUInt32, torch::kUInt64}) {
    for (const bool big_endian : {false, true}) {
      write_nifti(file_named(), counted({2, 3, 4}).to(type), {}, {.big_endian = big_endian});
      const Scan scan = read_scan(file_named());
      EXPECT_EQ(scan.voxels.scalar_type(), type);
      EXPECT_TRUE(torch::equal(doubles(scan.voxels), counted({2, 3, 4}).to(torch::kDouble))) << type;
    }
  }
}

TEST_F(Nifti, NarrowsWhatFits) {
  const auto stored_type = [&](const Tensor& voxels) {
    write_nifti(file_named(), voxels);
    return read().info.dtype;
  };
  const Tensor small = counted({2, 3, 4});
  EXPECT_EQ(stored_type(small.to(torch::kInt64) - 10), "int16");
  EXPECT_EQ(stored_type(small.to(torch::kInt32) + 60000), "uint16");
  EXPECT_EQ(stored_type(small.to(torch::kInt32) * 100000), "float32");
  EXPECT_EQ(stored_type(small.to(torch::kFloat64)), "float32");
  EXPECT_EQ(stored_type(small.to(torch::kInt8)), "int16");
  EXPECT_EQ(stored_type(small.to(torch::kUInt8)), "uint8");
}

TEST_F(Nifti, ScaleSlopesAreApplied) {
  const Tensor voxels = counted({2, 3, 4});
  write_nifti(file_named(), voxels, {}, {.slope = 2, .intercept = -1024});
  auto volume = read();
  EXPECT_EQ(volume.info.dtype, "int16");
  EXPECT_TRUE(torch::equal(volume.pixels, (voxels * 2 - 1024).to(torch::kInt16)));
  EXPECT_THAT(volume.info.notes, HasSubstr("rescaled: value × 2 + -1024"));

  write_nifti(file_named(), voxels, {}, {.slope = 0.37F, .intercept = 1.5F});
  volume = read();
  EXPECT_EQ(volume.info.dtype, "float32");
  EXPECT_TRUE(torch::allclose(volume.pixels, voxels * 0.37F + 1.5F, 0, 1e-6));

  for (const float none : {0.0F, 1.0F, std::nanf("")}) {  // slope 0: no scaling, says the standard
    write_nifti(file_named(), voxels, {}, {.slope = none});
    EXPECT_TRUE(torch::equal(read().pixels, voxels));
  }
}

TEST_F(Nifti, NaNAndInfinityAreCountedAndThePlaceOfTheFirstIsNamed) {
  Tensor voxels = torch::rand({3, 4, 5});
  voxels[1][2][3] = NAN;
  voxels[2][0][0] = INFINITY;
  write_nifti(file_named(), voxels);
  const auto bad = failure();
  EXPECT_EQ(bad.code, ExitCode::bad_request);
  EXPECT_THAT(bad.message,
              HasSubstr("a.nii: 2 voxels are NaN or infinite, the first at (column, row, slice) (3, 2, 1)"));
}

TEST_F(Nifti, AnEmptyVolumeIsRefused) {
  write_nifti(file_named(), torch::full({3, 4, 5}, 7, torch::kInt16));
  EXPECT_THAT(failure().message, HasSubstr("the volume is empty, all its voxels are 7"));
}

TEST_F(Nifti, TruncatedFilesAreRefused) {
  const std::string whole = nifti_bytes(counted({3, 4, 5}), {});
  write_bytes(file_named(), whole.substr(0, whole.size() - 7));
  EXPECT_THAT(failure().message,
              HasSubstr("a.nii: is truncated, the header announces 120 bytes of voxels and the file has 113"));
  write_bytes(file_named(), whole.substr(0, 200));
  EXPECT_THAT(failure().message, HasSubstr("is truncated, it has 200 bytes of a NIfTI header's 348"));
  write_bytes(file_named(), "");
  EXPECT_THAT(failure().message, HasSubstr("is an empty file"));
  write_bytes(file_named(), whole + std::string(10 << 20, '\0'));
  EXPECT_THAT(failure().message, HasSubstr("goes on long after the voxels"));
}

TEST_F(Nifti, CompressedFilesAreReadAndTheirDamageIsSeen) {
  write_nifti(file_named(), counted({30, 40, 25}));
  const Tensor expected = read().pixels;
  ASSERT_EQ(std::system(("gzip -kn " + file_named().string()).c_str()), 0);
  const auto packed = file_named("a.nii.gz");
  EXPECT_TRUE(torch::equal(read_volume({.name = "a", .image = packed.string()}, {.modality = "ct"}).pixels, expected));

  std::ifstream in(packed, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  write_bytes(packed, whole.substr(0, whole.size() / 2));
  EXPECT_THAT(failure("a.nii.gz").message, HasSubstr("a.nii.gz: is truncated, the compressed stream ends early"));
  std::string damaged = whole;
  damaged[whole.size() - 6] = static_cast<char>(damaged[whole.size() - 6] ^ 1);  // of the checksum
  write_bytes(packed, damaged);
  EXPECT_THAT(failure("a.nii.gz").message, HasSubstr("the compressed stream is damaged"));
}

TEST_F(Nifti, FourDimensionsAreRefused) {
  write_nifti(file_named(), counted({4, 3, 4}), {}, {.fourth = 2});
  EXPECT_THAT(failure().message, HasSubstr("the 4th of length 2; split it into one file per volume"));
}

TEST_F(Nifti, OtherFilesAreNamed) {
  write_bytes(file_named("a.txt"), "hello");
  EXPECT_THAT(failure("a.txt").message, HasSubstr("a.txt: is of no format that is read (NIfTI, MetaImage"));
  EXPECT_EQ(failure("nothing.nii").code, ExitCode::missing_data);
  EXPECT_THAT(failure("nothing.nii").message, HasSubstr("nothing.nii: no such file"));
}

using TextHeader = Nifti;

TEST_F(TextHeader, TruncatedVoxelsAreSeen) {
  for (const char* name : {"a.mha", "a.nrrd"}) {
    const auto file = file_named(name);
    if (file.extension() == ".mha") write_meta(file, counted({3, 4, 5}));
    if (file.extension() == ".nrrd") write_nrrd(file, counted({3, 4, 5}));
    EXPECT_EQ(failure(name).message, "") << name;
    std::filesystem::resize_file(file, std::filesystem::file_size(file) - 40);
    EXPECT_EQ(failure(name).code, ExitCode::bad_request) << name;
    EXPECT_THAT(failure(name).message, HasSubstr(name));
  }
}

TEST_F(TextHeader, DetachedVoxelsAreReadAndMissedWhereTheyAreNot) {
  write_meta(file_named("a.mhd"), counted({3, 4, 5}), {}, "a.raw");
  EXPECT_EQ(failure("a.mhd").code, ExitCode::missing_data);
  EXPECT_THAT(failure("a.mhd").message, HasSubstr("its data file " + file_named("a.raw").string() + " is missing"));
  write_bytes(file_named("a.raw"), raw_bytes(counted({3, 4, 5})));
  const auto volume = read_volume({.name = "a", .image = file_named("a.mhd").string()}, {.modality = "ct"});
  EXPECT_TRUE(torch::equal(volume.pixels, counted({3, 4, 5})));
  write_bytes(file_named("a.raw"), raw_bytes(counted({3, 4, 5})).substr(20));
  EXPECT_THAT(failure("a.mhd").message, HasSubstr("is truncated, the header announces 120 bytes of voxels"));
}

TEST_F(TextHeader, AbsurdSizesTakeNoMemory) {
  write_bytes(file_named("a.mha"),
              "ObjectType = Image\nNDims = 3\nDimSize = 100000 100000 100000\nCompressedData = True\n"
              "ElementType = MET_SHORT\nElementDataFile = LOCAL\nxxxx");
  EXPECT_EQ(failure("a.mha").code, ExitCode::bad_request);
  EXPECT_THAT(failure("a.mha").message, HasSubstr("cannot hold"));
}

// GDCM ends the process on such a file: it must not see it.
TEST_F(TextHeader, DicomThatEndsInItsFirstGroup) {
  for (const auto& rest : {std::string(), std::string("\2\0\0\0UL\4\0\xff\0\0\0", 12)}) {
    write_bytes(file_named("a.dcm"), std::string(128, '\0') + "DICM" + rest);
    EXPECT_EQ(failure("a.dcm").code, ExitCode::bad_request);
    EXPECT_THAT(failure("a.dcm").message, HasSubstr("a.dcm: is truncated in its first group"));
  }
}

}  // namespace
}  // namespace ivory::ingest
