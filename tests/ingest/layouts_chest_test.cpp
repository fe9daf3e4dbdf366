// Layouts of CT volumes that need tables, cubes or several parts: RibFrac, LUNA 2016, MOTS.
#include <nlohmann/json.hpp>

#include "config/layouts.h"
#include "data/volume_cache.h"
#include "ingest/csv.h"
#include "ingest/layout_fixture.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using torch::Tensor;

TEST_F(LayoutTest, CsvReadsWhatSpreadsheetsWrite) {
  text("a.csv", "\xEF\xBB\xBFname, size ,Original[Width,Height]\r\n\"a, \"\"b\"\"\",1.5,2,3\r\n\r\nc,x\r\n");
  const Csv table(in_set("a.csv"));
  ASSERT_EQ(table.rows(), 2U);
  EXPECT_EQ(table.text(0, "name"), "a, \"b\"");
  EXPECT_EQ(table.number(0, "size"), 1.5);
  const std::string file = in_set("a.csv").string();
  EXPECT_EQ(failure_of([&] { table.integer(0, "size"); }).message,
            file + ":2: column 'size' must be a whole number, got '1.5'");
  EXPECT_THAT(failure_of([&] { table.number(1, "size"); }).message,
              HasSubstr(":4: column 'size' must be a number, got 'x'"));
  EXPECT_THAT(failure_of([&] { table.text(1, "Original[Width"); }).message, HasSubstr("has 2 fields, column"));
  EXPECT_THAT(failure_of([&] { table.text(0, "nam"); }).message,
              HasSubstr("has no column 'nam', its header is: name, size"));
  text("empty.csv", "");
  EXPECT_THAT(failure_of([&] { Csv empty(in_set("empty.csv")); }).message, HasSubstr("is empty"));
}

class RibFrac : public LayoutTest {
 protected:
  RibFrac() {
    for (const std::string name : {"Part1/RibFrac1", "Part2/RibFrac421"}) {
      write_nifti(in_set(name + "-image.nii.gz"), made_.image, flipped);
      write_nifti(in_set(name + "-label.nii.gz"), made_.labels, flipped);
    }
    write_nifti(in_set("test/RibFrac501-image.nii.gz"), made_.image);
  }
  const Labelled made_ = labelled({3, 8, 6}, 3);
};

TEST_F(RibFrac, InstancesBecomeKindsByTheTables) {
  text("ribfrac-train-info-1.csv", "public_id,label_id,label_code\nRibFrac1,0,0\nRibFrac1,1,4\nRibFrac1,2,-1\n");
  text("ribfrac-val-info.csv", "public_id,label_id,label_code\nRibFrac421,0,0\nRibFrac421,1,2\nRibFrac421,2,2\n");
  EXPECT_THAT(names("ribfrac"), ElementsAre("RibFrac1 of RibFrac1, labelled", "RibFrac421 of RibFrac421, labelled",
                                            "RibFrac501 of RibFrac501"));
  EXPECT_THAT(warnings_,
              ElementsAre(HasSubstr("published with 420 volumes, 3 were found; 420 with labels, 2 were found")));
  const auto first = read("RibFrac1");
  const Tensor shown = first.pixels.to(torch::kInt64).div(1000, "floor");
  EXPECT_TRUE(torch::equal(first.labels == 4, shown == 1));
  EXPECT_TRUE(torch::equal(first.labels == 5, shown == 2));  // −1 in the table
  EXPECT_TRUE(torch::equal(read("RibFrac421").labels == 2, shown > 0));
}

TEST_F(RibFrac, TablesThatLackAnInstanceOrAreMissingAreMistakes) {
  EXPECT_THAT(failure_of([&] { list("ribfrac"); }).message,
              HasSubstr("ribfrac-*-info*.csv, the kinds of the labelled fractures, is missing"));
  text("ribfrac-train-info-1.csv", "public_id,label_id,label_code\nRibFrac1,0,0\nRibFrac1,1,4\n");
  list("ribfrac");
  EXPECT_THAT(failure_of([&] { read("RibFrac1"); }).message,
              HasSubstr("RibFrac1-label.nii.gz: instance 2 has no row in ribfrac-*-info*.csv"));
  text("ribfrac-train-info-1.csv", "public_id,label_id,label_code\nRibFrac1,1,7\n");
  EXPECT_THAT(failure_of([&] { list("ribfrac"); }).message, HasSubstr("label_code 7 of RibFrac1 is not from -1 to 4"));
}

// Two scans of 36 slices of 70 × 66 voxels; voxel [16, 40, 30] of the canonical array is the brightest.
class Luna : public LayoutTest {
 protected:
  Luna() {
    Tensor voxels = torch::zeros({36, 70, 66}, torch::kInt16);
    voxels[16][40][30] = 500;
    write_meta(in_set("subset0/1.2.3.mhd"), voxels, straight_);
    // The same body, stored from the head down and from left to right.
    const Geometry mirrored = {
        .spacing = straight_.spacing,
        .origin = {straight_.origin[0] - 65 * 0.7, straight_.origin[1], straight_.origin[2] + 35 * 2},
        .direction = {1, 0, 0, 0, -1, 0, 0, 0, -1}};
    write_meta(in_set("subset9/4.5.6.mhd"), voxels.flip({0, 2}), mirrored);
  }
  // Millimetres of a canonical voxel as the tables write them: x to the left, y to posterior.
  std::string place(double slice, double row, double column) const {
    std::ostringstream out;
    out << -straight_.origin[0] + 0.7 * column << "," << -straight_.origin[1] + 0.8 * row << ","
        << straight_.origin[2] + 2 * slice;
    return out.str();
  }
  const Geometry straight_ = {.spacing = {0.7, 0.8, 2}, .origin = {20, 30, -40}};
};

TEST_F(Luna, ScansLieInSubsets) {
  text("seg-lungs-LUNA16/1.2.3.mhd", "a mask of the lungs");
  EXPECT_THAT(names("luna2016"), ElementsAre("subset0/1.2.3 of 1.2.3", "subset9/4.5.6 of 4.5.6"));
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("published with 888 volumes, 2 were found")));
  EXPECT_TRUE(torch::equal(read("subset0/1.2.3").pixels, read("subset9/4.5.6").pixels));
}

// Outside the field of view some scanners write −2048 or −3024: kept as they are, and black once windowed.
TEST_F(Luna, ValuesBelowAirAreKeptAndShownAsAir) {
  Tensor voxels = torch::arange(4 * 6 * 5, torch::kInt16).view({4, 6, 5}) - 1000;
  voxels.select(2, 0).fill_(-3024);
  write_meta(in_set("subset3/7.8.9.mhd"), voxels, straight_);
  list("luna2016");
  const auto volume = read("subset3/7.8.9");
  EXPECT_EQ((volume.pixels == -3024).sum().item<int64_t>(), 4 * 6);
  EXPECT_EQ(volume.info.window, (std::array<double, 2>{-1000, 1000}));
  const auto cache = folder_.path() / "cache";
  const std::atomic<bool> never = false;
  build_cache(spec_, cache, false, nullptr, never);
  const data::DataSet data({std::make_shared<const data::SliceCache>(cache)});
  int64_t id = 0;
  while (data.info(id).name != "subset3/7.8.9") ++id;
  const auto grey = data::decode_volume(data, id, {64, 64, 64});
  EXPECT_EQ(*std::ranges::min_element(grey.voxels), 0.F);
  EXPECT_EQ(std::ranges::count(grey.voxels, 0.F), 4 * 6) << "no voxel inside is −1000";
}

TEST_F(Luna, CandidatesAreCubesInBothDirectionsOfAxes) {
  text("candidates_V2.csv", "seriesuid,coordX,coordY,coordZ,class\n1.2.3," + place(16, 40, 30) + ",1\n4.5.6," +
                                place(16, 40, 30) + ",0\n7.8.9,0,0,0,0\n4.5.6," + place(2, 69, 0) + ",1\n");
  EXPECT_THAT(names("luna2016-v2"),
              ElementsAre("subset0/1.2.3/000000 of 1.2.3, labelled", "subset9/4.5.6/000001 of 4.5.6, labelled",
                          "subset9/4.5.6/000003 of 4.5.6, labelled"));
  EXPECT_THAT(warnings_, Contains(HasSubstr("1 of the 4 candidates lie in scans that are not there")));
  EXPECT_THAT(warnings_, Contains(HasSubstr("published with 754975 volumes, 3 were found")));
  for (const auto& [name, nodule] : {std::pair{"subset0/1.2.3/000000", 1}, {"subset9/4.5.6/000001", 0}}) {
    const auto volume = read(name);
    ASSERT_EQ(volume.pixels.sizes(), (std::vector<int64_t>{32, 64, 64})) << name;
    EXPECT_EQ(volume.pixels[16][32][32].item<int64_t>(), 500) << name;
    EXPECT_EQ((volume.labels == nodule).all().item<bool>(), true) << name;
    EXPECT_NEAR(volume.info.origin[2], -40, 1e-9);  // 16 slices below the sixteenth
    EXPECT_NEAR(volume.info.origin[0], 20 + 0.7 * 2, 1e-9);
  }
  const auto corner = read("subset9/4.5.6/000003");             // slice 2, row 69, column 0
  EXPECT_EQ(corner.pixels[13][32][32].item<int64_t>(), -1000);  // below the scan
  EXPECT_EQ(corner.pixels[14][32][32].item<int64_t>(), 0);
  EXPECT_EQ(corner.pixels[14][33][32].item<int64_t>(), -1000);  // behind its last row
  EXPECT_EQ(corner.pixels[14][32][31].item<int64_t>(), -1000);
  EXPECT_EQ(corner.pixels[30][3][62].item<int64_t>(), 500);  // slice 16, row 40, column 30
}

TEST_F(Luna, CubesAreCutAtTheWantedSpacingAndCandidatesOutsideAreRefused) {
  text("candidates_V2.csv",
       "seriesuid,coordX,coordY,coordZ,class\n1.2.3," + place(16, 40, 30) + ",1\n1.2.3," + place(90, 40, 30) + ",1\n");
  spec_.spacing = {0.7, 0.8, 1};
  list("luna2016-v2");
  const auto volume = read("subset0/1.2.3/000000");
  EXPECT_EQ(volume.pixels.sizes(), (std::vector<int64_t>{32, 64, 64}));
  EXPECT_EQ(volume.info.spacing, (std::array<double, 3>{1, 0.8, 0.7}));
  EXPECT_GT(volume.pixels[16][32][32].item<int64_t>(), 300);  // a voxel of 2 mm seen at 0.5 mm from its centre
  EXPECT_THAT(failure_of([&] { read("subset0/1.2.3/000001"); }).message, HasSubstr("lies outside the scan"));
}

TEST_F(Luna, CubesOfAScanShareAFileOfTheCache) {
  std::string table = "seriesuid,coordX,coordY,coordZ,class\n";
  for (int i = 0; i < 40; ++i) {
    const std::string uid = i % 3 ? "1.2.3" : "4.5.6";
    table += uid + "," + place(i == 7 ? 90 : 16, 20 + i, 30) + "," + std::to_string(i % 2) + "\n";
  }
  text("candidates_V2.csv", table);
  spec_.layout = "luna2016-v2";
  std::map<int64_t, std::string> hashes;
  for (const int64_t workers : {1, 3}) {
    const auto folder = folder_.path() / ("cache-" + std::to_string(workers));
    const std::atomic<bool> never = false;
    const Report report = build_cache(spec_, folder, false, nullptr, never, workers);
    EXPECT_EQ(report.written, 39);
    ASSERT_EQ(report.skipped.size(), 1U);
    EXPECT_THAT(report.skipped[0].reason, HasSubstr("subset0/1.2.3/000007 lies outside the scan"));
    const auto is_shard = [](const auto& entry) { return entry.path().extension() == ".h5"; };
    EXPECT_EQ(std::ranges::count_if(std::filesystem::directory_iterator(folder), is_shard), 2);
    const data::SliceCache cache(folder);
    ASSERT_EQ(cache.volumes().size(), 39U);
    EXPECT_TRUE(cache.verify().empty());
    std::vector<int16_t> labels(64 * 64);
    for (int64_t i = 0; i < 39; ++i) {
      const std::string& name = cache.volumes()[static_cast<size_t>(i)].name;
      cache.read_labels(i, 5, labels);
      EXPECT_EQ(labels[100], (name.back() - '0') % 2) << name;
    }
    hashes[workers] = cache.content_hash();
    // The outside one is tried again; the others are not.
    EXPECT_EQ(build_cache(spec_, folder, false, nullptr, never, workers).reused, 39);
  }
  EXPECT_EQ(hashes[1], hashes[3]);
  // Where a scan changed, all its cubes are read again, and no others.
  std::filesystem::last_write_time(in_set("subset0/1.2.3.mhd"), std::filesystem::file_time_type::clock::now());
  const std::atomic<bool> never = false;
  EXPECT_EQ(build_cache(spec_, folder_.path() / "cache-1", false, nullptr, never).written, 25);
}

TEST_F(LayoutTest, MotsUnitesTheIdsOfItsParts) {
  const Labelled two = labelled({3, 8, 6}, 3), one = labelled({3, 8, 6}, 2);
  write_nifti(in_set("LiTS/volume-7.nii"), two.image, flipped);
  write_nifti(in_set("LiTS/segmentation-7.nii"), two.labels, {.spacing = {0, 0, 0}}, {.sform = 0});
  write_nifti(in_set("kits19/data/case_00000/imaging.nii.gz"), two.image, turned);
  write_nifti(in_set("kits19/data/case_00000/segmentation.nii.gz"), two.labels, turned);
  write_nifti(in_set("kits19/data/case_00210/imaging.nii.gz"), two.image, turned);
  for (const auto& [task, made] : {std::pair{"Task07_Pancreas", two}, {"Task09_Spleen", one}}) {
    const std::string folder = task;
    write_nifti(in_set(folder + "/imagesTr/x_1.nii.gz"), made.image);
    write_nifti(in_set(folder + "/labelsTr/x_1.nii.gz"), made.labels);
    text(folder + "/dataset.json",
         nlohmann::json({{"modality", {{"0", "CT"}}},
                         {"numTraining", 1},
                         {"training", {{{"image", "./imagesTr/x_1.nii.gz"}, {"label", "./labelsTr/x_1.nii.gz"}}}}})
             .dump());
  }
  text("papers/read.me", "nothing");
  EXPECT_THAT(names("mots"),
              ElementsAre("KiTS19/case_00000 of KiTS19/case_00000, labelled", "KiTS19/case_00210 of KiTS19/case_00210",
                          "LiTS/volume-7 of LiTS/volume-7, labelled", "Pancreas/x_1 of Pancreas/x_1, labelled",
                          "Spleen/x_1 of Spleen/x_1, labelled"));
  EXPECT_THAT(warnings_,
              ElementsAre(HasSubstr("papers is no part of MOTS"), HasSubstr("1155 with labels, 4 were found")));
  const std::map<std::string, std::array<int64_t, 2>> expected = {
      {"LiTS/volume-7", {1, 2}}, {"KiTS19/case_00000", {3, 4}}, {"Pancreas/x_1", {7, 8}}, {"Spleen/x_1", {11, 0}}};
  for (const auto& [name, ids] : expected) {
    const auto volume = read(name);
    const Tensor shown = volume.pixels.to(torch::kInt64).div(1000, "floor");
    EXPECT_TRUE(torch::equal(volume.labels == ids[0], shown == 1)) << name;
    if (ids[1] > 0) {
      EXPECT_TRUE(torch::equal(volume.labels == ids[1], shown == 2)) << name;
    }
    EXPECT_EQ(volume.info.modality, "ct");
  }
  write_nifti(in_set("Task09_Spleen/labelsTr/x_1.nii.gz"), two.labels);
  EXPECT_THAT(failure_of([&] { read("Spleen/x_1"); }).message, HasSubstr("holds label 2, expected 0 to 1 in Spleen"));
}

}  // namespace
}  // namespace ivory::ingest
