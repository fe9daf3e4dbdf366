// What a cache holds: numbers that can be worked out by hand.
#include "data/fingerprint.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "data/cache_fixtures.h"

namespace ivory::data {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::TemporaryFolder;

// [slices, rows, columns] of `values` (int16), with labels or without.
VolumeData volume(const std::string& name, const torch::Tensor& values, const torch::Tensor& labels = {}) {
  VolumeData made;
  made.info.name = name;
  made.info.patient = "patient of " + name;
  made.info.modality = "ct";
  made.info.source_file = "/data/" + name + ".nii.gz";
  made.info.spacing = {2.5, 0.5, 0.8};
  made.info.window = {0, 100};
  made.info.slices = values.size(0), made.info.rows = values.size(1), made.info.columns = values.size(2);
  made.pixels = values.to(torch::kInt16);
  if (labels.defined()) made.labels = labels.to(torch::kInt16);
  return made;
}

// 0, 1, … in the order of memory.
torch::Tensor counted(int64_t slices, int64_t rows, int64_t columns, int64_t first = 0) {
  return torch::arange(first, first + slices * rows * columns).view({slices, rows, columns});
}

Fingerprint fingerprint_of(const std::vector<VolumeData>& volumes, int64_t workers = 2) {
  const TemporaryFolder folder;
  testing::write_cache(folder.path() / "cache", volumes);
  return make_fingerprint(folder.path() / "cache", {.workers = workers});
}

std::span<const uint8_t> bytes(const torch::Tensor& values) {
  return {static_cast<const uint8_t*>(values.data_ptr()), values.nbytes()};
}

TEST(Distribution, PercentilesLieBetweenOrderStatistics) {
  Distribution sums;
  sums.add(PixelType::int16, bytes(torch::arange(-50, 51, torch::kInt16)));
  const Intensities found = sums.intensities();
  EXPECT_EQ(found.voxels, 101u);
  EXPECT_EQ(found.minimum, -50);
  EXPECT_EQ(found.maximum, 50);
  EXPECT_NEAR(found.mean, 0, 1e-12);
  EXPECT_NEAR(found.deviation, std::sqrt(850.0), 1e-9) << "(101² − 1) / 12";
  for (size_t i = 0; i < percents.size(); ++i) EXPECT_NEAR(found.percentiles[i], percents[i] - 50, 1e-9);
}

// numpy.percentile([-3, 7, 7, 65535], [0.5, 1, 5, 25, 50, 75, 95, 99, 99.5])
TEST(Distribution, MixedTypesAreOneDistribution) {
  Distribution first, second;
  first.add(PixelType::int16, bytes(torch::tensor({7, -3}, torch::kInt16)));
  second.add(PixelType::uint8, bytes(torch::tensor({7}, torch::kUInt8)));
  second.add(PixelType::uint16, bytes(torch::tensor({65535}, torch::kInt32).to(torch::kUInt16)));
  first.add(second);
  const std::vector<double> expected = {-2.85, -2.7, -1.5, 4.5, 7, 16389, 55705.8, 63569.16, 64552.08};
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(first.intensities().percentiles[i], expected[i], 1e-6) << percents[i];
}

TEST(Distribution, FloatsKeepTwelveBits) {
  Distribution sums;
  const float nan = std::nanf("");
  sums.add(PixelType::float32, bytes(torch::tensor({-1234.567F, -0.0F, nan, 3.0F, 1e-3F, 98765.43F})));
  const Intensities found = sums.intensities();
  EXPECT_EQ(found.voxels, 5u) << "without the NaN";
  EXPECT_EQ(found.minimum, static_cast<double>(-1234.567F)) << "the ends are exact";
  EXPECT_EQ(found.maximum, static_cast<double>(98765.43F));
  EXPECT_NEAR(found.percentiles[4], 1e-3, 5e-7) << "the median, within 0.05 %";
  EXPECT_EQ(found.percentiles[5], 3) << "a number of few bits, exactly";
  EXPECT_EQ(found.percentiles[3], 0);
}

TEST(Distribution, LabelsChooseVoxels) {
  Distribution sums;
  const std::vector<int16_t> labels = {0, 3, 0, 1};
  sums.add(PixelType::int16, bytes(torch::tensor({1, 2, 3, 4}, torch::kInt16)), labels);
  EXPECT_EQ(sums.intensities().voxels, 2u);
  EXPECT_EQ(sums.intensities().mean, 3);
  sums.clear();
  EXPECT_EQ(sums.intensities().voxels, 0u);
}

TEST(Distribution, BinsOfIntegersHoldAsManyValuesEach) {
  Distribution sums;
  sums.add(PixelType::uint8, bytes(torch::arange(0, 200, torch::kUInt8)));
  const Histogram made = sums.histogram(64);  // of 0.1 … 99.9 %: 0.199 … 198.801
  EXPECT_EQ(made.low, 0);
  EXPECT_EQ(made.width, 4);
  EXPECT_THAT(made.counts, SizeIs(50));
  EXPECT_THAT(made.counts, ::testing::Each(4u));
}

TEST(Fingerprint, SaysWhatAVolumeHolds) {
  auto labels = torch::zeros({2, 3, 4});
  labels[1].fill_(7);
  labels[1][0][0] = 300;  // beyond a byte
  const Fingerprint found = fingerprint_of({volume("a", counted(2, 3, 4), labels), volume("b", counted(1, 3, 5))});
  ASSERT_THAT(found.volumes, SizeIs(2));
  EXPECT_EQ(found.slices, 3);
  EXPECT_EQ(found.volumes[0].intensities.percentiles[4], 11.5);
  EXPECT_EQ(found.volumes[1].intensities.maximum, 14);
  ASSERT_THAT(found.volumes[0].labels, SizeIs(2));
  EXPECT_EQ(found.volumes[0].labels[0].id, 7);
  EXPECT_EQ(found.volumes[0].labels[0].voxels, 11u);
  EXPECT_NEAR(found.volumes[0].labels[0].mm3, 11.0, 1e-12) << "voxels of 2.5 · 0.5 · 0.8 = 1 mm³";
  EXPECT_EQ(found.volumes[0].labels[1].id, 300);
  EXPECT_THAT(found.volumes[1].labels, IsEmpty());
}

TEST(Fingerprint, SumsOverModalities) {
  auto mr = volume("m", counted(1, 2, 2, 50));
  mr.info.modality = "mr";
  auto a = volume("a", counted(2, 3, 4), torch::ones({2, 3, 4})),
       b = volume("b", counted(4, 3, 6), torch::ones({4, 3, 6}));
  b.info.spacing = {1, 0.25, 0.8};
  const Fingerprint found = fingerprint_of({a, b, mr});
  ASSERT_THAT(found.modalities, SizeIs(2));
  const ModalityFinding& ct = found.modalities[0];
  EXPECT_EQ(ct.modality, "ct");
  EXPECT_EQ(ct.volumes, 2);
  EXPECT_EQ(ct.slices, 6);
  EXPECT_THAT(ct.dtypes, ElementsAre("int16"));
  EXPECT_EQ(ct.shape[0].median, 3);
  EXPECT_EQ(ct.shape[2].maximum, 6);
  EXPECT_EQ(ct.spacing[1].minimum, 0.25);
  EXPECT_EQ(ct.all.voxels, 96u);
  EXPECT_EQ(ct.labelled.voxels, 96u);
  EXPECT_NEAR(ct.all.mean, (23.0 * 24 / 2 + 71.0 * 72 / 2) / 96, 1e-9);
  EXPECT_EQ(found.modalities[1].all.minimum, 50);
  EXPECT_EQ(found.modalities[1].labelled.voxels, 0u);
  ASSERT_THAT(found.labels, SizeIs(1));
  EXPECT_EQ(found.labels[0].voxels, 96u);
  EXPECT_THAT(found.labels[0].mm3, ElementsAre(DoubleNear(24, 1e-9), DoubleNear(72 * 0.2, 1e-9)));
}

TEST(Fingerprint, IsTheSameForAnyNumberOfThreads) {
  std::vector<VolumeData> volumes;
  for (const char* name : {"a", "b", "c", "d", "e"}) volumes.push_back(testing::make_volume(name, {}, "float32"));
  EXPECT_EQ(to_json(fingerprint_of(volumes, 1)).dump(), to_json(fingerprint_of(volumes, 4)).dump());
}

TEST(Fingerprint, NamesDuplicates) {
  const auto ones = torch::ones({2, 3, 4}), labels = ones.clone();
  const Fingerprint found = fingerprint_of({volume("a", counted(2, 3, 4), ones), volume("b", counted(2, 3, 4, 5)),
                                            volume("c", counted(2, 3, 4), ones), volume("d", counted(2, 3, 4, 5), ones),
                                            volume("e", counted(2, 4, 3))});
  ASSERT_THAT(found.duplicates, SizeIs(2)) << "the voxels of e lie in another shape";
  EXPECT_THAT(found.duplicates[0].volumes, ElementsAre(0, 2));
  EXPECT_TRUE(found.duplicates[0].same_labels);
  EXPECT_THAT(found.duplicates[1].volumes, ElementsAre(1, 3));
  EXPECT_FALSE(found.duplicates[1].same_labels);
}

TEST(Fingerprint, FindsPatientsAndContentInSeveralFolders) {
  std::vector<VolumeData> volumes = {volume("a", counted(1, 3, 4)), volume("b", counted(1, 3, 4, 1)),
                                     volume("c", counted(1, 3, 4, 2)), volume("d", counted(1, 3, 4))};
  const std::array<std::pair<const char*, const char*>, 4> places = {
      {{"imagesTr", "ann"}, {"imagesTr", "bob"}, {"imagesTs", "ann"}, {"imagesTs", "dan"}}};
  for (size_t i = 0; i < volumes.size(); ++i) {
    volumes[i].info.source_file = c10::str("/home/test/", places[i].first, "/", i, ".nii.gz");
    volumes[i].info.patient = places[i].second;
  }
  const Fingerprint found = fingerprint_of(volumes);
  ASSERT_THAT(found.splits, SizeIs(1));
  EXPECT_EQ(found.splits[0].origin, "folders");
  ASSERT_THAT(found.splits[0].splits, SizeIs(2));
  EXPECT_EQ(found.splits[0].splits[1].name, "test");
  EXPECT_THAT(found.splits[0].splits[1].volumes, ElementsAre(2, 3));
  ASSERT_THAT(found.splits[0].patients, SizeIs(1));
  EXPECT_EQ(shared_patient_text(found.splits[0].patients[0]), "patient 'ann' is in more than one split (train, test)");
  ASSERT_THAT(found.splits[0].content, SizeIs(1));
  EXPECT_EQ(shared_content_text(found.splits[0].content[0]),
            "volumes with the same content are in different splits: 'a' (train), 'd' (test)");
}

std::vector<NamedSplit> splits_of(const std::vector<std::string>& files) {
  std::vector<VolumeInfo> infos;
  for (const auto& file : files) infos.push_back({.name = file, .source_file = file});
  return folder_splits(infos);
}

TEST(FolderSplits, AreWordsOfFoldersBelowTheCommonOne) {
  EXPECT_THAT(splits_of({"/test/a/1.png", "/test/b/2.png"}), IsEmpty()) << "all of them lie there";
  EXPECT_THAT(splits_of({"/d/train/1.png", "/d/train/2.png"}), IsEmpty());
  EXPECT_THAT(splits_of({"/d/latest/1.png", "/d/strain/2.png"}), IsEmpty()) << "parts of words";
  EXPECT_THAT(splits_of({"/d/a/train.png", "/d/b/test.png"}), IsEmpty()) << "files";
  const auto found = splits_of({"/d/ribfrac-val-images/1.nii", "/d/Training Batch 1/2.nii", "/d/other/3.nii"});
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].name, "train");
  EXPECT_THAT(found[0].volumes, ElementsAre(1));
  EXPECT_EQ(found[1].name, "validation");
}

TEST(FolderSplits, PatientsAreNamedBelowThem) {
  std::vector<VolumeInfo> infos;
  for (const char* patient : {"train/ann", "test/ann", "train", "test"})
    infos.push_back({.name = "x", .patient = patient, .source_file = std::string("/d/") + patient + "/1.nii"});
  const auto shared = shared_folder_patients(infos, folder_splits(infos));
  ASSERT_THAT(shared, SizeIs(1)) << "a patient called as the split is no other split's";
  EXPECT_EQ(shared[0].key, "ann");
  EXPECT_THAT(shared_patients(infos, folder_splits(infos)), IsEmpty());
}

// Values are 100 · slice + 10 · row + column, in percent of the window 0 … 1000.
TEST(Fingerprint, DrawsMiddleSlicesWithSuperiorUp) {
  const auto z = torch::arange(4).view({4, 1, 1}) * 100, y = torch::arange(6).view({1, 6, 1}) * 10,
             x = torch::arange(5).view({1, 1, 5});
  auto one = volume("a", z + y + x, (z + y + x > 299).to(torch::kInt16));
  one.info.window = {0, 1000};
  const Fingerprint found = fingerprint_of({one});
  ASSERT_THAT(found.views, SizeIs(1));
  const VolumeView& view = found.views[0];
  const auto value = [](const PlaneView& plane, int64_t row, int64_t column) {
    return std::lround(plane.grey[row][column].item<double>() * 1000);
  };
  ASSERT_EQ(view.axial.grey.sizes(), (std::vector<int64_t>{6, 5}));
  EXPECT_EQ(value(view.axial, 1, 4), 214) << "slice 2: anterior above";
  ASSERT_TRUE(view.coronal && view.sagittal);
  ASSERT_EQ(view.coronal->grey.sizes(), (std::vector<int64_t>{4, 5}));
  EXPECT_EQ(value(*view.coronal, 0, 1), 331) << "the last slice is the uppermost line, of row 3";
  EXPECT_EQ(value(*view.coronal, 3, 0), 30);
  ASSERT_EQ(view.sagittal->grey.sizes(), (std::vector<int64_t>{4, 6}));
  EXPECT_EQ(value(*view.sagittal, 0, 5), 352) << "columns are rows, of column 2";
  EXPECT_EQ(view.coronal->labels[0][0].item<int>(), 1);
  EXPECT_EQ(view.coronal->labels[1][0].item<int>(), 0);
  EXPECT_EQ(view.sagittal->spacing, (std::array<double, 2>{2.5, 0.5}));
  EXPECT_EQ(view.axial.spacing, (std::array<double, 2>{0.5, 0.8}));
}

TEST(Fingerprint, DrawsVolumesFromAllOverTheCache) {
  std::vector<VolumeData> volumes;
  for (const char* name : {"a", "b", "c", "d", "e", "f"})
    volumes.push_back(volume(name, counted(1, 2, 2, static_cast<int64_t>(volumes.size()))));
  const TemporaryFolder folder;
  testing::write_cache(folder.path() / "cache", volumes);
  const Fingerprint found = make_fingerprint(folder.path() / "cache", {.workers = 3, .views = 3});
  ASSERT_THAT(found.views, SizeIs(3));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(found.views[i].volume, 2 * static_cast<int32_t>(i));
    EXPECT_EQ(std::lround(found.views[i].axial.grey[0][0].item<double>() * 100), 2 * static_cast<long>(i));
  }
}

TEST(Fingerprint, ImagesHaveOnePlane) {
  const Fingerprint found = fingerprint_of({volume("a", counted(1, 6, 5))});
  EXPECT_FALSE(found.views[0].coronal || found.views[0].sagittal);
}

TEST(Fingerprint, IsToldInJson) {
  auto labels = torch::zeros({2, 3, 4});
  labels[1].fill_(7);
  Fingerprint found = fingerprint_of({volume("a", counted(2, 3, 4), labels), volume("b", counted(1, 3, 5))});
  add_splits(found, "task t", {{"train", {0}}, {"test", {1, 0, 1}}}, true);
  const auto json = to_json(found);
  EXPECT_EQ(json["format"], "ivory-fingerprint");
  EXPECT_EQ(json["version"], 1);
  EXPECT_EQ(json["patients"], 2);
  EXPECT_EQ(json["volumes"][0]["shape"], (std::vector<int>{2, 3, 4}));
  EXPECT_EQ(json["volumes"][0]["labels"][0]["voxels"], 12);
  EXPECT_EQ(json["volumes"][0]["intensities"]["percentiles"][4], (std::vector<double>{50, 11.5}));
  EXPECT_FALSE(json["volumes"][1].contains("labels"));
  EXPECT_EQ(json["modalities"][0]["shape"]["slices"]["median"], 1.5);
  EXPECT_EQ(json["modalities"][0]["labelled"]["minimum"], 12);
  EXPECT_EQ(json["labels"][0]["mm3"]["median"], 12);
  EXPECT_THAT(json["duplicates"], IsEmpty());
  EXPECT_EQ(json["splits"][0]["volumes"]["test"], 2);
  EXPECT_EQ(json["splits"][0]["shared_patients"][0]["patient"], "patient of a");
  EXPECT_EQ(json["splits"][0]["shared_patients"][0]["splits"]["test"][0], "a");
  EXPECT_THAT(json["splits"][0]["shared_content"], IsEmpty()) << "one volume in two splits is no duplicate";
}

TEST(Fingerprint, FaultsOfACacheAreToldFirstVolumeFirst) {
  const TemporaryFolder folder;
  EXPECT_EQ(testing::failure_of([&] { make_fingerprint(folder.path(), {}); }).code, ExitCode::missing_data);
  testing::write_cache(folder.path() / "cache", {volume("a", counted(2, 3, 4)), volume("b", counted(2, 3, 4))});
  for (const auto& entry : std::filesystem::directory_iterator(folder.path() / "cache")) {
    if (entry.path().extension() == ".h5") std::filesystem::resize_file(entry.path(), 100);
  }
  const auto failure = testing::failure_of([&] { make_fingerprint(folder.path() / "cache", {.workers = 2}); });
  EXPECT_EQ(failure.code, ExitCode::bad_request);
  EXPECT_THAT(failure.message, HasSubstr("the shard is truncated"));
}

}  // namespace
}  // namespace ivory::data
