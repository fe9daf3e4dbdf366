// Layouts of the paper's volumes whose files are read as they are, and what all layouts share.
#include "config/layouts.h"

#include <nlohmann/json.hpp>

#include "ingest/layout_fixture.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using torch::Tensor;

std::set<int64_t> ids_of(const Tensor& labels) {
  std::set<int64_t> ids;
  for (const Tensor& id : std::get<0>(torch::_unique(labels)).unbind()) ids.insert(id.item<int64_t>());
  return ids;
}

TEST(Layouts, EveryDescribedOneIsRead) {
  for (const auto& info : config::known_layouts()) {
    const bool has_folder = info.name != "list" && info.name != "phantom";
    const Layout* layout = find_layout(info.name);
    EXPECT_EQ(layout != nullptr, has_folder) << info.name;
    if (layout) {
      EXPECT_EQ(layout->name, info.name);
    }
  }
}

using Volumes = LayoutTest;

TEST_F(Volumes, MissingFoldersAndForeignOnesAreNamed) {
  spec_.hint = "ask the organisers";
  for (const auto& info : config::known_layouts()) {
    if (!find_layout(info.name)) continue;
    const auto failure = failure_of([&] { list(info.name); });
    EXPECT_EQ(failure.code, ExitCode::missing_data) << info.name;
    EXPECT_THAT(failure.message, HasSubstr("set is missing; ask the organisers")) << info.name;
  }
  text("notes.txt", "nothing to read");
  EXPECT_THAT(
      failure_of([&] { list("lits2017"); }).message,
      HasSubstr("holds no volume in layout \"lits2017\" (ivory data describe lits2017 tells what it looks for)"));
}

TEST_F(Volumes, MsdHeart) {
  const Labelled made = labelled({3, 8, 6}, 2);
  write_nifti(in_set("imagesTr/la_003.nii.gz"), made.image, turned);
  write_nifti(in_set("labelsTr/la_003.nii.gz"), made.labels, turned);
  write_nifti(in_set("imagesTs/la_001.nii.gz"), made.image);
  for (const char* name : {"imagesTr/._la_003.nii.gz", "labelsTr/._la_003.nii.gz", "imagesTs/._la_001.nii.gz"})
    text(name, "of macOS");
  const nlohmann::json pairs = {{{"image", "./imagesTr/la_003.nii.gz"}, {"label", "./labelsTr/la_003.nii.gz"}},
                                {{"image", "./imagesTr/._la_003.nii.gz"}, {"label", "./labelsTr/._la_003.nii.gz"}}};
  text("dataset.json", nlohmann::json({{"name", "LeftAtrium"},
                                       {"modality", {{"0", "MRI"}}},
                                       {"numTraining", 20},
                                       {"training", pairs},
                                       {"test", {"./imagesTs/la_001.nii.gz", "./imagesTs/._la_001.nii.gz"}}})
                           .dump());
  EXPECT_THAT(names("msd"), ElementsAre("la_001 of la_001", "la_003 of la_003, labelled"));
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("announces 20 training volumes, 1 were found")));
  const auto volume = read("la_003");
  expect_aligned(volume);
  EXPECT_EQ(volume.info.modality, "mr");
}

TEST_F(Volumes, Lits2017TakesTheGeometryOfAMaskFromItsVolume) {
  const Labelled made = labelled();
  write_nifti(in_set("batch1/volume-0.nii"), made.image, flipped);
  write_nifti(in_set("batch1/segmentation-0.nii"), made.labels, {.spacing = {0, 0, 0}}, {.sform = 0});
  write_nifti(in_set("batch2/volume-10.nii"), made.image, turned);
  write_nifti(in_set("batch2/segmentation-10.nii"), made.labels, {.spacing = {1, 1, 1}});
  write_nifti(in_set("test/test-volume-3.nii"), made.image);
  for (const char* name : {"batch1/._volume-0.nii", "batch1/volume-x.nii"}) text(name, "no volume");
  EXPECT_THAT(names("lits2017"), ElementsAre("test-volume-3 of test-volume-3", "volume-0 of volume-0, labelled",
                                             "volume-10 of volume-10, labelled"));
  EXPECT_THAT(warnings_,
              ElementsAre(HasSubstr("layout \"lits2017\" was published with 131 with labels, 2 were found")));
  for (const char* name : {"volume-0", "volume-10"}) {
    const auto volume = read(name);
    expect_aligned(volume);
    EXPECT_EQ(volume.info.modality, "ct");
  }
  EXPECT_EQ(read("volume-0").info.spacing, (std::array<double, 3>{2.5, 0.7F, 0.7F}));
}

TEST_F(Volumes, Lits2017RefusesAMaskOfAnotherSize) {
  write_nifti(in_set("volume-0.nii"), labelled().image);
  write_nifti(in_set("segmentation-0.nii"), labelled({3, 8, 7}).labels);
  list("lits2017");
  EXPECT_THAT(failure_of([&] { read("volume-0"); }).message, HasSubstr("it has 7 × 8 × 3 voxels, the image 6 × 8 × 3"));
}

TEST_F(Volumes, Brats2018IsFourVolumesAPatientOrItsFlair) {
  const Labelled made = labelled({3, 8, 6}, 5);
  for (const std::string name : {"HGG/Brats18_A_1/Brats18_A_1", "LGG/Brats18_B_1/Brats18_B_1"}) {
    for (const char* modality : {"_t1", "_t1ce", "_t2", "_flair"}) {
      write_nifti(in_set(name + modality + ".nii.gz"), made.image, flipped);
    }
    write_nifti(in_set(name + "_seg.nii.gz"), made.labels.masked_fill(made.labels == 3, 4), flipped);
  }
  text("HGG/Brats18_A_1/._Brats18_A_1_t1.nii.gz", "of macOS");
  text("survival_data.csv", "Brats18ID,Age,Survival");
  EXPECT_THAT(names("brats2018-flair"),
              ElementsAre("Brats18_A_1_flair of Brats18_A_1, labelled", "Brats18_B_1_flair of Brats18_B_1, labelled"));
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("285 volumes, 2 were found; 285 with labels, 2 were found")));
  EXPECT_EQ(list("brats2018").size(), 8U);
  EXPECT_EQ(source("Brats18_A_1_t1ce").patient, "Brats18_A_1");
  EXPECT_EQ(ids_of(read("Brats18_B_1_t2").labels), (std::set<int64_t>{0, 1, 2, 4}));
  EXPECT_EQ(read("Brats18_A_1_t1").info.modality, "mr");
}

// One mask for four volumes, each of whose voxels shows its label.
TEST_F(Volumes, Brats2018sMaskFitsTheVolumesAndOneOfAnotherGridIsRefused) {
  const Labelled made = labelled();
  const std::string patient = "HGG/Brats18_A_1/Brats18_A_1";
  for (const char* modality : {"_t1", "_t1ce", "_t2", "_flair"})
    write_nifti(in_set(patient + modality + ".nii.gz"), made.image, flipped);
  write_nifti(in_set(patient + "_seg.nii.gz"), made.labels, flipped);
  for (const auto& source : list("brats2018")) expect_aligned(read_volume(source, spec_));
  Geometry moved = flipped;
  moved.origin[1] += 2;
  write_nifti(in_set(patient + "_seg.nii.gz"), made.labels, moved);
  EXPECT_THAT(failure_of([&] { read("Brats18_A_1_t2"); }).message,
              HasSubstr("Brats18_A_1_t2.nii.gz: its first voxel lies 2 mm away from the image's"));
}

TEST_F(Volumes, MmwhsLabelsFitWhateverTheAxesAndOthersAreRefused) {
  const Labelled made = labelled();
  for (const auto& [name, geometry] : {std::pair{"ct_train_1001", turned}, {"ct_train_1002", flipped}}) {
    write_nifti(in_set(std::string(name) + "_image.nii.gz"), made.image, geometry);
    write_nifti(in_set(std::string(name) + "_label.nii.gz"), made.labels, geometry);
  }
  for (const auto& source : list("mmwhs-ct")) expect_aligned(read_volume(source, spec_));
  Geometry wider = flipped;
  wider.spacing[0] = 0.75;
  write_nifti(in_set("ct_train_1002_label.nii.gz"), made.labels, wider);
  EXPECT_THAT(failure_of([&] { read("ct_train_1002"); }).message, HasSubstr("its voxels are "));
  write_nifti(in_set("ct_train_1002_label.nii.gz"), made.labels, turned);
  EXPECT_THAT(failure_of([&] { read("ct_train_1002"); }).message,
              HasSubstr("ct_train_1002_label.nii.gz is not on the grid"));
}

TEST_F(Volumes, MmwhsReads421As420) {
  const Labelled made = labelled({3, 8, 6}, 4);
  const std::vector<int16_t> ids = {0, 420, 421, 850};
  Tensor labels = torch::zeros_like(made.image);
  for (size_t i = 0; i < ids.size(); ++i) labels.masked_fill_(made.labels == static_cast<int64_t>(i), ids[i]);
  for (const std::string name : {"mr_train/mr_train_1010", "ct_train/ct_train_1001"}) {
    write_nifti(in_set(name + "_image.nii.gz"), made.image, turned);
    write_nifti(in_set(name + "_label.nii.gz"), labels, turned);
  }
  write_nifti(in_set("mr_test/mr_test_2001_image.nii.gz"), made.image);
  EXPECT_THAT(names("mmwhs-ct"), ElementsAre("ct_train_1001 of ct_train_1001, labelled"));
  EXPECT_THAT(names("mmwhs-mri"),
              ElementsAre("mr_test_2001 of mr_test_2001", "mr_train_1010 of mr_train_1010, labelled"));
  const auto volume = read("mr_train_1010");
  EXPECT_EQ(ids_of(volume.labels), (std::set<int64_t>{0, 420, 850}));
  const Tensor shown = volume.pixels.to(torch::kInt64).div(1000, "floor");
  EXPECT_TRUE(torch::equal(volume.labels == 420, torch::logical_or(shown == 1, shown == 2)));
  EXPECT_THAT(volume.info.notes, HasSubstr("read as 420"));
  EXPECT_EQ(volume.info.modality, "mr");
}

TEST_F(Volumes, TciaCtKnowsAPatientScannedTwice) {
  for (const char* name : {"volume-covid19-A-0003.nii.gz", "volume-covid19-A-0003_1.nii.gz",
                           "part2/volume-covid19-A-0011.nii.gz", "other.nii.gz"})
    write_nifti(in_set(name), labelled().image, flipped);
  EXPECT_THAT(names("tcia-ct"), ElementsAre("volume-covid19-A-0003 of A-0003", "volume-covid19-A-0003_1 of A-0003",
                                            "volume-covid19-A-0011 of A-0011"));
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("published with 650 volumes, 3 were found")));
  EXPECT_EQ(read("volume-covid19-A-0011").info.window, (std::array<double, 2>{-1000, 1000}));
}

}  // namespace
}  // namespace ivory::ingest
