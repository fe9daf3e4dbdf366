// Which frames make a volume: decided frame by frame, by the majority; what does not belong is left out by name.
#include "ingest/dicom_stack.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingest/volume_files.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Sources = std::vector<DicomSource>;

constexpr std::array<double, 6> axial = {1, 0, 0, 0, 1, 0}, sagittal = {0, 1, 0, 0, 0, -1};

DicomHeader image(double z) {
  DicomHeader header;
  header.modality = "CT", header.series = "1.2", header.frame_of_reference = "1.3";
  header.image_type = "ORIGINAL\\PRIMARY\\AXIAL";
  header.rows = 8, header.columns = 10, header.bits_stored = 16, header.has_pixels = true;
  header.frames.resize(1);
  header.frames[0].position = {-3, 4, z};
  header.frames[0].orientation = axial;
  header.frames[0].spacing = {0.9, 0.8};
  return header;
}

// IM0, IM1, … 2.5 mm apart.
Sources series(int count) {
  Sources sources;
  for (int i = 0; i < count; ++i) sources.push_back({fmt::format("IM{}", i), image(2.5 * i)});
  return sources;
}

std::vector<std::string> names(const DicomStack& stack, const Sources& sources) {
  std::vector<std::string> all;
  for (const auto& slice : stack.slices) all.push_back(name_of(slice, sources));
  return all;
}

std::string refusal(const Sources& sources) {
  const auto failure = failure_of([&] { stack_of(sources, "folder"); });
  EXPECT_EQ(failure.code, ExitCode::bad_request);
  return failure.message;
}

TEST(DicomStackTest, SlicesLieByPositionNotByName) {
  Sources sources = series(4);
  std::swap(sources[0].header.frames[0].position, sources[2].header.frames[0].position);
  const DicomStack stack = stack_of(sources, "folder");
  EXPECT_THAT(names(stack, sources), ElementsAre("IM2", "IM1", "IM0", "IM3"));
  std::vector<std::string> warnings;
  const Geometry geometry = geometry_of(stack, sources, "folder", warnings);
  EXPECT_THAT(warnings, IsEmpty());
  EXPECT_EQ(geometry.spacing, (Vector3{0.8, 0.9, 2.5}));
  EXPECT_EQ(geometry.origin, (Vector3{3, -4, 0}));
}

// Every way in which an image may not belong, as the first, a middle and the last file.
TEST(DicomStackTest, WhatDiffersFromTheMostIsLeftOutByName) {
  const std::vector<std::pair<const char*, std::function<void(DicomHeader&)>>> kinds = {
      {"orientation", [](auto& h) { h.frames[0].orientation = sagittal; }},
      {"orientation", [](auto& h) { h.frames[0].orientation = {0.999, 0.0447, 0, -0.0447, 0.999, 0}; }},
      {"LOCALIZER", [](auto& h) { h.image_type = "ORIGINAL\\PRIMARY\\LOCALIZER"; }},
      {"DERIVED", [](auto& h) { h.image_type = "DERIVED\\SECONDARY\\AXIAL\\MIP"; }},
      {"modality", [](auto& h) { h.modality = "OT"; }},
      {"2 × 2 mm",
       [](auto& h) {
         h.frames[0].spacing = {2, 2};
       }},
      {"0.8 × 0.91 mm",
       [](auto& h) {
         h.frames[0].spacing = {0.91, 0.8};
       }},
      {"10 × 12 pixels", [](auto& h) { h.rows = 12; }},
      {"12 × 8 pixels", [](auto& h) { h.columns = 12; }},
      {"values per pixel", [](auto& h) { h.samples = 3; }},
      {"frame of reference", [](auto& h) { h.frame_of_reference = "1.4"; }},
      {"where it lies", [](auto& h) { h.frames[0].position.reset(); }}};
  for (const auto& [keyword, change] : kinds) {
    for (const size_t at : {0, 2, 5}) {
      Sources sources = series(6);
      sources[at].header.frames[0].position = {-3, 4, 99};
      change(sources[at].header);
      const DicomStack stack = stack_of(sources, "folder");
      EXPECT_EQ(stack.slices.size(), 5U) << keyword;
      EXPECT_THAT(stack.warnings, ElementsAre(AllOf(HasSubstr(fmt::format("IM{} ", at)), HasSubstr(keyword))));
    }
  }
}

TEST(DicomStackTest, WhatIsNotSaidContradictsNothing) {
  Sources sources = series(4);
  sources[1].header.frame_of_reference = "", sources[1].header.image_type = "", sources[2].header.modality = "";
  EXPECT_EQ(stack_of(sources, "folder").slices.size(), 4U);
  EXPECT_THAT(stack_of(sources, "folder").warnings, IsEmpty());
}

TEST(DicomStackTest, WithoutAMajorityTheFolderIsRefused) {
  Sources sources = series(6);
  for (size_t i = 0; i < 3; ++i) sources[i].header.frames[0].orientation = sagittal;
  EXPECT_THAT(refusal(sources), AllOf(HasSubstr("folder"), HasSubstr("orientation"), HasSubstr("IM")));
  sources = series(3);
  for (size_t i = 0; i < 3; ++i) sources[i].header.rows = static_cast<int64_t>(8 + i);
  EXPECT_THAT(refusal(sources), HasSubstr("3 kinds"));
}

TEST(DicomStackTest, ImagesThatDoNotSayWhereTheyLieAreRefused) {
  Sources sources = series(4);
  for (auto& source : sources) source.header.frames[0].position.reset();
  EXPECT_THAT(refusal(sources), HasSubstr("ImagePositionPatient"));
  Sources mosaic = series(3);
  mosaic[0].header.image_type = "ORIGINAL\\PRIMARY\\M\\MOSAIC";
  EXPECT_THAT(refusal({mosaic[0]}), HasSubstr("mosaic"));
  Sources still = series(2);
  still[1].header.frames[0].slope = 0;
  EXPECT_NE(refusal(still), "");
}

TEST(DicomStackTest, OneImageNeedNotSayWhereItLies) {
  Sources sources = series(1);
  sources[0].header.frames[0] = {};
  std::vector<std::string> warnings;
  const DicomStack stack = stack_of(sources, "folder");
  EXPECT_EQ(geometry_of(stack, sources, "folder", warnings).spacing, (Vector3{1, 1, 1}));
  EXPECT_THAT(stack.warnings, IsEmpty());
}

TEST(DicomStackTest, MissingSizesAndOrientationsAreWarnedOf) {
  Sources sources = series(3);
  for (auto& source : sources) source.header.frames[0].spacing.reset(), source.header.frames[0].orientation.reset();
  EXPECT_THAT(stack_of(sources, "folder").warnings, ElementsAre(HasSubstr("L, P, S"), HasSubstr("1 mm")));
}

TEST(DicomStackTest, TheUsualDistanceIsTakenWhereASliceIsMissing) {
  Sources sources = series(8);
  sources.erase(sources.begin() + 3);
  std::vector<std::string> warnings;
  EXPECT_EQ(geometry_of(stack_of(sources, "folder"), sources, "folder", warnings).spacing[2], 2.5);
  EXPECT_THAT(warnings, ElementsAre(AllOf(HasSubstr("IM2 and IM4"), HasSubstr("missing"))));
}

TEST(DicomStackTest, ATiltedGantryAndAShiftedSliceAreWarnedOf) {
  Sources sources = series(6);
  for (size_t i = 0; i < 6; ++i) (*sources[i].header.frames[0].position)[1] += 0.5 * static_cast<double>(i);
  std::vector<std::string> warnings;
  geometry_of(stack_of(sources, "folder"), sources, "folder", warnings);
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("tilted by 11.3 degrees")));
  sources = series(6);
  (*sources[2].header.frames[0].position)[0] += 7;
  warnings.clear();
  geometry_of(stack_of(sources, "folder"), sources, "folder", warnings);
  EXPECT_THAT(warnings, ElementsAre(AllOf(HasSubstr("IM2"), HasSubstr("beside"))));
}

// One object of many frames.
class MultiFrame : public ::testing::Test {
 protected:
  explicit MultiFrame() {
    DicomHeader header = image(0);
    header.has_frame_groups = true;
    header.frames.assign(6, header.frames[0]);
    for (size_t i = 0; i < 6; ++i) {
      header.frames[i].position = {-3, 4, 2.5 * static_cast<double>(i)};
      header.frames[i].stack = "1", header.frames[i].time = "1";
    }
    sources_ = {{"a.dcm", header}};
  }
  std::vector<DicomFrame>& frames() { return sources_[0].header.frames; }
  std::vector<size_t> order() {
    std::vector<size_t> all;
    for (const auto& slice : stack_of(sources_, "a.dcm").slices) all.push_back(slice.frame);
    return all;
  }
  Sources sources_;
};

TEST_F(MultiFrame, FramesLieByPosition) {
  EXPECT_THAT(order(), ElementsAre(0, 1, 2, 3, 4, 5));
  std::ranges::reverse(frames());
  EXPECT_THAT(order(), ElementsAre(5, 4, 3, 2, 1, 0));
  std::swap(frames()[0], frames()[4]);
  EXPECT_THAT(order(), ElementsAre(5, 0, 3, 2, 1, 4));
  std::vector<std::string> warnings;
  EXPECT_EQ(geometry_of(stack_of(sources_, "a"), sources_, "a", warnings).spacing[2], 2.5);
}

TEST_F(MultiFrame, EachFrameHasItsOwnRescale) {
  for (size_t i = 0; i < 6; ++i) frames()[i].slope = 1 + static_cast<double>(i), frames()[i].intercept = -5;
  const DicomStack stack = stack_of(sources_, "a");
  for (const auto& slice : stack.slices) EXPECT_EQ(slice.slope, 1 + static_cast<double>(slice.frame));
}

TEST_F(MultiFrame, SeveralStacksAndTimesAreRefused) {
  frames()[3].stack = "2";
  EXPECT_THAT(refusal(sources_), HasSubstr("stacks"));
  frames()[3].stack = "1", frames()[5].time = "2";
  EXPECT_THAT(refusal(sources_), HasSubstr("time"));
}

TEST_F(MultiFrame, AFrameOfAnotherKindIsLeftOutByName) {
  frames()[2].type = "ORIGINAL\\PRIMARY\\LOCALIZER\\NONE";
  for (const size_t i : {0, 1, 3, 4, 5}) frames()[i].type = "ORIGINAL\\PRIMARY\\VOLUME\\NONE";
  const DicomStack stack = stack_of(sources_, "a");
  EXPECT_EQ(stack.slices.size(), 5U);
  EXPECT_THAT(stack.warnings, ElementsAre(AllOf(HasSubstr("frame 3"), HasSubstr("LOCALIZER"))));
}

TEST_F(MultiFrame, FramesWithoutPlacesOfTheirOwnAreSlicesOnlyWhereTheyAreNumberedOrSpaced) {
  DicomHeader& header = sources_[0].header;
  header.has_frame_groups = false;
  for (auto& frame : header.frames) frame = image(10).frames[0];
  EXPECT_THAT(refusal(sources_), HasSubstr("where they lie"));
  header.slice_distance = 3;
  EXPECT_EQ(stack_of(sources_, "a").slices[5].position, 25);
  header.is_film = true;
  EXPECT_THAT(refusal(sources_), HasSubstr("film"));
  header.slice_numbers = {6, 5, 4, 3, 2, 1};
  EXPECT_THAT(order(), ElementsAre(5, 4, 3, 2, 1, 0));
  header.slice_distance = -3;  // nuclear medicine may count against the normal
  EXPECT_THAT(order(), ElementsAre(0, 1, 2, 3, 4, 5));
  header.also_varies = {"times", "energy windows"};
  EXPECT_THAT(refusal(sources_), HasSubstr("energy windows"));
}

}  // namespace
}  // namespace ivory::ingest
