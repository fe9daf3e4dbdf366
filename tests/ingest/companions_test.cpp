// Masks belong to images by their names; links; files that are something else.
#include "ingest/companions.h"

#include <fmt/format.h>

#include "ingest/dicom_files.h"
#include "ingest/layout_fixture.h"
#include "ingest/stored_files.h"
#include "ingest/volume.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

namespace fs = std::filesystem;

struct Sorted {
  std::vector<std::string> images;              // below the root
  std::vector<std::vector<std::string>> owned;  // image, mask
  std::vector<std::string> warnings;
};

Sorted sorted(const std::vector<std::string>& names) {
  std::vector<fs::path> files;
  for (const auto& name : names) files.push_back(fs::path("/root_of_set") / name);
  Sorted result;
  const Companions found = sort_companions(files, "/root_of_set", "set", result.warnings);
  const auto below = [](const fs::path& file) { return file.lexically_relative("/root_of_set").generic_string(); };
  for (const auto& image : found.images) result.images.push_back(below(image));
  for (const auto& [image, mask] : found.masks) result.owned.push_back({below(image), below(mask)});
  return result;
}

TEST(Companions, EveryNameOfAMaskIsKnown) {
  const std::vector<std::pair<std::string, std::string>> pairs = {
      {"p1.nii.gz", "p1_label.nii.gz"},
      {"p1.nii.gz", "p1-Labels.nii.gz"},
      {"p1.nii.gz", "p1_mask.nii"},
      {"p1.nrrd", "p1.seg.nrrd"},
      {"p1.nrrd", "Segmentation.seg.nrrd"},
      {"p1.mha", "p1_segmentation.mha"},
      {"p1.nii.gz", "p1_gt.nii.gz"},
      {"p1.nii.gz", "p1_roi.nii.gz"},
      {"p1.nii.gz", "p1_lesion.nii.gz"},
      {"p1.nii.gz", "p1_lesion_mask.nii.gz"},
      {"p1.nii.gz", "mask_p1.nii.gz"},
      {"image_001.nii.gz", "mask_001.nii.gz"},
      {"volume-7.nii", "segmentation-7.nii"},
      {"img0001.nii.gz", "label0001.nii.gz"},
      {"p1_image.nii.gz", "p1_label.nii.gz"},
      {"p1_ct.nii.gz", "p1_seg.nii.gz"},
      {"p1_t1w.nii.gz", "p1_dseg.nii.gz"},
      {"sub-1_T1w.nii.gz", "sub-1_label-lesion_mask.nii.gz"},
      {"sub-1_ses-2_T1w.nii.gz", "sub-1_ses-2_space-orig_dseg.nii.gz"},
      {"a/sub-1_T1w.nii.gz", "derivatives/sub-1/sub-1_dseg.nii.gz"},
      {"p1/image.nii.gz", "p1/label.nii.gz"},
      {"p1/ct.nii.gz", "p1/mask.nii.gz"},
      {"p1/ct.nii.gz", "p1/seg.nii.gz"},
      {"p1/ct.nii.gz", "p1/segmentation.nii.gz"},
      {"p1/ct.nii.gz", "p1/GT.nii.gz"},
      {"p1/ct.nii.gz", "p1/roi.nii.gz"},
      {"p1.png", "p1_mask.png"},
      {"x.nii", "labels/x.nii"},
      {"images/x.nii", "labels/x.nii"},
      {"images/x.nii", "masks/x_mask.nii"},
      {"imagesTr/x.nii", "labelsTr/x.nii"},
      {"img/img0001.nii", "label/label0001.nii"},
      {"p1/x.nii", "p1/segmentations/x.nii"}};
  for (const auto& [image, mask] : pairs) {
    const Sorted found = sorted({image, mask});
    EXPECT_THAT(found.images, ElementsAre(image)) << mask;
    EXPECT_THAT(found.owned, ElementsAre(ElementsAre(image, mask)));
    EXPECT_THAT(found.warnings, IsEmpty()) << mask;
  }
}

TEST(Companions, SeveralPatientsKeepTheirOwn) {
  const Sorted found = sorted({"p1_ct.nii", "p1_seg.nii", "p2_ct.nii", "p2_seg.nii", "p3_ct.nii"});
  EXPECT_THAT(found.images, UnorderedElementsAre("p1_ct.nii", "p2_ct.nii", "p3_ct.nii"));
  EXPECT_THAT(found.owned,
              UnorderedElementsAre(ElementsAre("p1_ct.nii", "p1_seg.nii"), ElementsAre("p2_ct.nii", "p2_seg.nii")));
}

TEST(Companions, DoubtsAreWarnedOfAndNoMaskBecomesAnImage) {
  Sorted found = sorted({"p1_t1.nii", "p1_t2.nii", "p1_seg.nii"});  // whose?
  EXPECT_THAT(found.images, UnorderedElementsAre("p1_t1.nii", "p1_t2.nii"));
  EXPECT_THAT(found.warnings, ElementsAre(AllOf(HasSubstr("p1_seg.nii"), HasSubstr("several images"))));
  found = sorted({"p1/a.nii", "p1/b.nii", "p1/mask.nii"});
  EXPECT_THAT(found.owned, IsEmpty());
  EXPECT_THAT(found.warnings, ElementsAre(HasSubstr("p1/mask.nii")));
  found = sorted({"p1/mask.nii", "p2/ct.nii"});
  EXPECT_THAT(found.images, ElementsAre("p2/ct.nii"));
  EXPECT_THAT(found.warnings, ElementsAre(HasSubstr("not found")));
  found = sorted({"images/x.nii", "labels/y.nii"});
  EXPECT_THAT(found.images, ElementsAre("images/x.nii"));
  EXPECT_THAT(found.warnings, ElementsAre(HasSubstr("labels/y.nii")));
  found = sorted({"p1.nii", "p1_mask.nii", "p1_seg.nii"});
  EXPECT_EQ(found.owned.size(), 1U);
  EXPECT_THAT(found.warnings, ElementsAre(HasSubstr("second masks")));
}

TEST(Companions, ANameThatOnlyEndsLikeAMasksIsAnImageWithAWarning) {
  const Sorted found = sorted({"scan_seg.nii", "other.nii"});
  EXPECT_THAT(found.images, UnorderedElementsAre("scan_seg.nii", "other.nii"));
  EXPECT_THAT(found.warnings, ElementsAre(HasSubstr("scan_seg.nii")));
  EXPECT_THAT(sorted({"mosegment.nii", "labelling.nii", "amask.nii"}).warnings, IsEmpty()) << "no words of their own";
}

class Folders : public LayoutTest {
 protected:
  void add(const std::string& name) const { write_nifti(in_set(name), counted({3, 4, 5})); }
  void add_mask(const std::string& name) const {
    write_nifti(in_set(name), (counted({3, 4, 5}) % 3).to(torch::kUInt8));
  }
};

TEST_F(Folders, AMaskBesideOrAmongTheSlicesOfASeries) {
  for (const char* patient : {"p1", "p2"}) {
    for (int i = 0; i < 3; ++i)
      write_bytes(in_set(fmt::format("{}/ct/{}.dcm", patient, i)), dicom_file(ct_slice(counted({4, 5}) + i, i)));
  }
  const Geometry grid = {.spacing = {0.5, 0.5, 2}, .origin = {10, 20, 0}};
  write_nifti(in_set("p1/mask.nii"), (counted({3, 4, 5}) % 3).to(torch::kUInt8), grid);
  write_nifti(in_set("p2/ct/seg.nii"), (counted({3, 4, 5}) % 3).to(torch::kUInt8), grid);
  EXPECT_THAT(names("folder"), ElementsAre("p1/ct of p1/ct, labelled", "p2/ct of p2/ct, labelled"));
  EXPECT_EQ(read("p1/ct").labels.max().item<int64_t>(), 2);
  EXPECT_EQ(read("p2/ct").labels.max().item<int64_t>(), 2);
}

TEST_F(Folders, LinksToFoldersAreFollowedOnceAndThoseToNothingNamed) {
  add("p1/a.nii");
  write_nifti(folder_.path() / "elsewhere/p2/b.nii", counted({3, 4, 5}));
  fs::create_directory_symlink(folder_.path() / "elsewhere/p2", in_set("p2"));
  fs::create_directory_symlink(folder_.path() / "elsewhere/p2", in_set("p2_again"));
  fs::create_directory_symlink(folder_.path() / "set", in_set("p1/up"));
  fs::create_directory_symlink(folder_.path() / "elsewhere", folder_.path() / "elsewhere/p2/loop");
  fs::create_directory_symlink(folder_.path() / "nowhere", in_set("p3"));
  fs::create_symlink(folder_.path() / "elsewhere/p2/b.nii", in_set("p1/linked.nii"));
  fs::create_symlink("/annex/objects/XX", in_set("p1/annexed.nii"));
  EXPECT_THAT(names("folder"), ElementsAre("p1/a of p1", "p1/annexed of p1", "p1/linked of p1", "p2/b of p2"));
  EXPECT_THAT(warnings_, ElementsAre(AllOf(HasSubstr("lead nowhere"), HasSubstr("p3"))));
  const auto failure = failure_of([&] { read("p1/annexed"); });
  EXPECT_EQ(failure.code, ExitCode::missing_data);
  EXPECT_THAT(failure.message, AllOf(HasSubstr("annexed.nii"), HasSubstr("/annex/objects/XX")));
  EXPECT_EQ(read("p2/b").pixels.size(0), 3);
}

TEST_F(Folders, FilesThatAreSomethingElseAreNamedAsThat) {
  const std::vector<std::pair<std::string, const char*>> kinds = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n", "Git LFS"},
      {"/annex/objects/SHA256E-s1--00.nii.gz\n", "git-annex"},
      {"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"},
      {"\xEF\xBB\xBF\n <HTML>", "web page"},
      {"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "XML"},
      {"{\"message\": \"not found\"}", "JSON"},
      {"%PDF-1.7", "PDF"}};
  for (const char* name : {"a.nii.gz", "a.nii", "a.mha", "a.mhd", "a.nrrd", "a.dcm", "a.png", "a.jpg", "a.tif"}) {
    for (const auto& [bytes, keyword] : kinds) {
      write_bytes(in_set(name), bytes);
      const auto failure = failure_of([&] { read_scan(in_set(name)); });
      EXPECT_EQ(failure.code, ExitCode::bad_request);
      EXPECT_THAT(failure.message, AllOf(HasSubstr(name), HasSubstr(keyword)));
    }
  }
}

// Also where a file is opened for another one.
TEST_F(Folders, WhatAnotherFileNamesIsLookedAtToo) {
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
  const auto says = [&](auto&& body) { EXPECT_THAT(failure_of(body).message, HasSubstr("Git LFS")); };
  const torch::Tensor voxels = counted({4, 6, 5});
  for (const auto& file : every_form(voxels)) {  // detached voxels
    if (file.data[0].first.empty()) continue;
    file.write(in_set("detached"));
    write_bytes(in_set("detached") / file.data[0].first, pointer);
    says([&] { read_scan(in_set("detached") / file.name); });
  }
  std::filesystem::remove_all(in_set("detached"));
  for (int i = 0; i < 3; ++i)  // a slice of a series
    write_bytes(in_set(fmt::format("series/{}.dcm", i)), dicom_file(ct_slice(counted({4, 5}) + i, i)));
  write_bytes(in_set("series/1.dcm"), pointer);
  says([&] { read_scan(in_set("series")); });
  add("a.nii");
  text("whose.csv", pointer);
  spec_.patients = in_set("whose.csv").string();
  says([&] { list("folder"); });
  spec_.patients = "";
  text("dataset.json", pointer);
  says([&] { list("msd"); });
}

TEST_F(Folders, AMaskThatWasTakenForAnImageIsReported) {
  add("a.nii");
  add_mask("b.nii");
  list("folder");
  const auto warnings = [&](const char* name) { return read_with_warnings(source(name), spec_).warnings; };
  EXPECT_THAT(warnings("a"), IsEmpty());
  EXPECT_THAT(warnings("b"), ElementsAre(HasSubstr("mask")));
}

TEST_F(Folders, ATableOfPatientsThatNamesNoVolumeIsRefused) {
  add("a.nii");
  add("b.nii");
  text("whose.csv", "volume,patient\nx/a,P1\n");
  spec_.patients = in_set("whose.csv").string();
  EXPECT_THAT(failure_of([&] { list("folder"); }).message, AllOf(HasSubstr("whose.csv"), HasSubstr("x/a")));
  text("whose.csv", "volume,patient\na,P1\n");
  EXPECT_THAT(names("folder"), ElementsAre("a of P1", "b of b"));
}

}  // namespace
}  // namespace ivory::ingest
