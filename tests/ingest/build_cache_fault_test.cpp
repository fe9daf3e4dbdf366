// From a folder to a cache: layouts, bad files, killed builds, spacing.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "ingest/ingest.h"
#include "ingest/layout.h"
#include "ingest/volume_files.h"
#include "support/data_folder.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using config::DataSpec;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using torch::Tensor;

const std::atomic<bool> never = false;

class BuildCache : public ::testing::Test {
 protected:
  BuildCache() { spec_ = {.name = "set", .path = (folder_.path() / "set").string(), .modality = "ct"}; }

  std::filesystem::path in_set(const std::string& name) const { return folder_.path() / "set" / name; }
  std::filesystem::path cache() const { return folder_.path() / "cache"; }
  void add(const std::string& name, int16_t first = 0) const { write_nifti(in_set(name), counted({3, 8, 6}) + first); }
  void add_labels(const std::string& name) const {
    write_nifti(in_set(name), (counted({3, 8, 6}) % 3).to(torch::kUInt8));
  }
  void describe(const nlohmann::json& description) const { write_bytes(in_set("dataset.json"), description.dump()); }
  Report build(bool strict = false) const { return build_cache(spec_, cache(), strict, nullptr, never); }
  std::vector<config::VolumeSource> listed() {
    warnings_.clear();
    return list_volumes(spec_, warnings_);
  }
  std::vector<std::string> names(const std::vector<config::VolumeSource>& sources) const {
    std::vector<std::string> all;
    for (const auto& source : sources)
      all.push_back(source.name + " of " + source.patient + (source.label.empty() ? "" : ", labelled"));
    return all;
  }

  TemporaryFolder folder_;
  DataSpec spec_;
  std::vector<std::string> warnings_;
};

TEST_F(BuildCache, AFolderIsSearchedForVolumesLabelsAndPatients) {
  for (const char* name : {"b.nii", "a_image.nii", "p1/first.nii", "p1/second.nii", "images/c.nii"}) add(name);
  for (const char* name : {"b_seg.nii", "a_label.nii", "labels/c.nii"}) add_labels(name);
  add(".hidden.nii");
  add("._b.nii");
  add("__MACOSX/b.nii");
  write_bytes(in_set("notes.txt"), "nothing to read");
  EXPECT_THAT(names(listed()), ElementsAre("a of a, labelled", "b of b, labelled", "images/c of images/c, labelled",
                                           "p1/first of p1", "p1/second of p1"));
}

TEST_F(BuildCache, AFileThatOnlyEndsLikeALabelIsAVolume) {
  add("scan_seg.nii");
  EXPECT_THAT(names(listed()), ElementsAre("scan_seg of scan_seg"));
}

TEST_F(BuildCache, TheDecathlonsDescriptionIsFollowed) {
  spec_.layout = "msd", spec_.modality = "";
  add("imagesTr/la_1.nii");
  add("imagesTr/._la_1.nii");
  add("imagesTs/la_2.nii");
  add_labels("labelsTr/la_1.nii");
  describe({{"modality", {{"0", "MRI"}}},
            {"numTraining", 2},
            {"training",
             {{{"image", "./imagesTr/la_1.nii"}, {"label", "./labelsTr/la_1.nii"}},
              {{"image", "./imagesTr/._la_1.nii"}, {"label", "./labelsTr/._la_1.nii"}}}},
            {"test", {"./imagesTs/la_2.nii"}}});
  const auto sources = listed();
  EXPECT_THAT(names(sources), ElementsAre("la_1 of la_1, labelled", "la_2 of la_2"));
  EXPECT_EQ(sources[0].modality, "mr");
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("announces 2 training volumes, 1 were found")));
}

TEST_F(BuildCache, NnUNetsChannelsAreVolumesOfOnePatient) {
  spec_.layout = "nnunet", spec_.modality = "";
  for (const char* name : {"imagesTr/p_1_0000.nii", "imagesTr/p_1_0001.nii", "imagesTs/p_2_0000.nii"}) add(name);
  add("imagesTr/no_channel.nii");
  add_labels("labelsTr/p_1.nii");
  describe({{"channel_names", {{"0", "CT"}}}, {"numTraining", 1}});
  const auto sources = listed();
  EXPECT_THAT(names(sources), ElementsAre("p_1_0000 of p_1, labelled", "p_1_0001 of p_1, labelled", "p_2 of p_2"));
  EXPECT_EQ(sources[0].modality, "ct");
  EXPECT_THAT(warnings_, ElementsAre());
}

TEST_F(BuildCache, TheRealSetsAreListedWhole) {
  const auto hippocampus = test::data_folder("Task04_Hippocampus"), plans = test::data_folder("Dataset501_OpenKBP");
  if (!hippocampus || !plans)
    GTEST_SKIP() << "IVORY_DATA names no folder with Task04_Hippocampus and Dataset501_OpenKBP";
  const auto labelled = [](const auto& sources) {
    return std::ranges::count_if(sources, [](const auto& source) { return !source.label.empty(); });
  };
  spec_ = {.name = "hippocampus", .layout = "msd", .path = hippocampus->string()};
  auto sources = listed();
  EXPECT_EQ(labelled(sources), 260);
  EXPECT_EQ(sources[0].name, "hippocampus_001");
  EXPECT_EQ(sources[0].modality, "mr");
  spec_ = {.name = "kbp", .layout = "nnunet", .path = plans->string()};
  sources = listed();
  EXPECT_EQ(sources.size(), 286U);
  EXPECT_EQ(labelled(sources), 244);
  EXPECT_EQ(sources[0].patient, "pt_1");
  EXPECT_EQ(sources[0].modality, "ct");
}

TEST_F(BuildCache, WhatIsMissingIsNamedWithWhereToGetIt) {
  spec_.hint = "download it from the organisers";
  auto failure = failure_of([&] { listed(); });
  EXPECT_EQ(failure.code, ExitCode::missing_data);
  EXPECT_THAT(failure.message, HasSubstr("set is missing; download it from the organisers"));
  add("a.nii");
  spec_.layout = "msd";
  failure = failure_of([&] { listed(); });
  EXPECT_EQ(failure.code, ExitCode::missing_data);
  EXPECT_THAT(failure.message, HasSubstr("dataset.json is missing, which layout \"msd\" needs"));
  write_bytes(in_set("dataset.json"), "{ broken");
  EXPECT_THAT(failure_of([&] { listed(); }).message, HasSubstr("dataset.json: is no JSON object"));
  spec_.layout = "list";
  spec_.volumes = {{.name = "a", .image = in_set("a.nii").string()}, {.name = "b", .image = in_set("b.nii").string()}};
  failure = failure_of([&] { listed(); });
  EXPECT_EQ(failure.code, ExitCode::missing_data);
  EXPECT_THAT(failure.message, HasSubstr("b.nii is missing"));
}

TEST_F(BuildCache, TwoVolumesOfOneNameAreRefused) {
  add("a.nii");
  add("a_image.nii");
  EXPECT_THAT(failure_of([&] { listed(); }).message, HasSubstr("two volumes are called 'a'"));
}

TEST_F(BuildCache, OneBadFileIsSkippedNamedAndCounted) {
  for (const char* name : {"a.nii", "b.nii", "c.nii"}) add(name);
  std::filesystem::resize_file(in_set("b.nii"), 400);
  const Report report = build();
  EXPECT_EQ(report.written, 2);
  EXPECT_TRUE(report.finished);
  ASSERT_EQ(report.skipped.size(), 1U);
  EXPECT_EQ(report.skipped[0].file, in_set("b.nii").string());
  EXPECT_THAT(report.skipped[0].reason, HasSubstr("b.nii: is truncated"));
  EXPECT_EQ(data::SliceCache(cache()).volumes().size(), 2U);
  std::filesystem::remove_all(cache());
  EXPECT_THAT(failure_of([&] { build(/*strict=*/true); }).message, HasSubstr("b.nii: is truncated"));
}

TEST_F(BuildCache, NothingReadableIsARefusal) {
  add("a.nii");
  std::filesystem::resize_file(in_set("a.nii"), 400);
  const auto failure = failure_of([&] { build(); });
  EXPECT_EQ(failure.code, ExitCode::bad_request);
  EXPECT_THAT(failure.message, HasSubstr("none of its 1 volume can be read"));
}

// Every shard's content and time of writing.
std::map<std::string, std::filesystem::file_time_type> shards(const std::filesystem::path& cache) {
  std::map<std::string, std::filesystem::file_time_type> times;
  for (const auto& entry : std::filesystem::directory_iterator(cache))
    if (entry.path().extension() == ".h5") times[entry.path().filename().string()] = entry.last_write_time();
  return times;
}

TEST_F(BuildCache, AKilledBuildIsGoneOnWith) {
  for (int i = 0; i < 5; ++i) add("v" + std::to_string(i) + ".nii", static_cast<int16_t>(i));
  const pid_t child = ::fork();
  if (child == 0) {
    build_cache(
        spec_, cache(), false,
        [](const Progress& now) {
          if (now.done == 3) ::raise(SIGKILL);
        },
        never);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(failure_of([&] { data::SliceCache unfinished(cache()); }).code, ExitCode::missing_data);
  const auto before = shards(cache());
  ASSERT_EQ(before.size(), 3U);
  write_bytes(cache() / "v3.h5.tmp", "half a shard");

  const Report report = build();
  EXPECT_EQ(report.reused, 3);
  EXPECT_EQ(report.written, 2);
  const auto after = shards(cache());
  EXPECT_EQ(after.size(), 5U);
  for (const auto& [name, time] : before) EXPECT_EQ(after.at(name), time) << name << " was written again";
  EXPECT_FALSE(std::filesystem::exists(cache() / "v3.h5.tmp"));
  const data::SliceCache resumed(cache());
  EXPECT_TRUE(resumed.verify().empty());
  build_cache(spec_, folder_.path() / "fresh", false, nullptr, never);
  EXPECT_EQ(resumed.content_hash(), data::SliceCache(folder_.path() / "fresh").content_hash());
}

TEST_F(BuildCache, AStoppedBuildSaysSoAndAnotherRecipeStartsAnew) {
  for (const char* name : {"a.nii", "b.nii"}) add(name);
  std::atomic<bool> stop = false;
  const Report stopped = build_cache(
      spec_, cache(), false, [&](const Progress& now) { stop = now.done == 0; }, stop);
  EXPECT_FALSE(stopped.finished);
  EXPECT_EQ(stopped.written, 1);
  spec_.window = {0, 100};  // other pixels: nothing of the earlier build is used
  const Report other = build();
  EXPECT_EQ(other.reused, 0);
  EXPECT_EQ(other.written, 2);
  EXPECT_EQ(data::SliceCache(cache()).volumes()[0].window, (std::array<double, 2>{0, 100}));
}

data::VolumeData read(const std::filesystem::path& file, const DataSpec& spec,
                      const std::filesystem::path& label = {}) {
  return read_volume({.name = "a", .image = file.string(), .label = label.string()}, spec);
}

TEST_F(BuildCache, SpacingIsResampledOverTheSameFieldOfView) {
  // 10 slices of 2 mm, rows and columns of 1 mm; a ramp along each axis in float32.
  const auto axes = torch::meshgrid({torch::arange(10.0), torch::arange(8.0), torch::arange(6.0)}, "ij");
  const Tensor ramp = (axes[0] * 2 * 100 + axes[1] * 10 + axes[2]).to(torch::kFloat32);  // 100 per mm along z
  const Tensor labels = (axes[0] >= 5).to(torch::kUInt8);
  write_nifti(in_set("a.nii"), ramp, {.spacing = {1, 1, 2}, .origin = {5, 6, 7}});
  write_nifti(in_set("a_seg.nii"), labels, {.spacing = {1, 1, 2}, .origin = {5, 6, 7}});
  spec_.spacing = {0, 0.5, 1};  // x, y, z
  const auto volume = read(in_set("a.nii"), spec_, in_set("a_seg.nii"));
  EXPECT_EQ(volume.info.spacing, (std::array<double, 3>{1, 0.5, 1}));  // slices, rows, columns
  EXPECT_EQ(volume.pixels.sizes(), (std::vector<int64_t>{20, 16, 6}));
  EXPECT_THAT(volume.info.notes, HasSubstr("resampled from 6 × 8 × 10 voxels of 1 × 1 × 2 mm"));
  // Inside, a voxel's value is the ramp at its centre: -0.5 + (i + 0.5) / 2 old slices.
  for (int64_t slice = 1; slice < 19; ++slice) {
    const double old_slice = (static_cast<double>(slice) + 0.5) / 2 - 0.5, old_row = (7 + 0.5) / 2 - 0.5;
    EXPECT_NEAR(volume.pixels[slice][7][2].item<double>(), old_slice * 200 + old_row * 10 + 2, 1e-3);
    EXPECT_EQ(volume.labels[slice][7][2].item<int64_t>(), slice >= 10 ? 1 : 0);
  }
  EXPECT_NEAR(volume.info.origin[0], 5, 1e-5);  // the corner of the first voxel stays: LPS axes, RAS positions
  EXPECT_NEAR(volume.info.origin[1], 6 + 0.25, 1e-5);
  EXPECT_NEAR(volume.info.origin[2], 7 - 0.5, 1e-5);
}

TEST_F(BuildCache, CoarserVoxelsAverageAndLargePlanesShrink) {
  Tensor stripes = torch::zeros({4, 16, 32}, torch::kInt16);
  stripes.slice(2, 0, 32, 2) = 1000;
  write_nifti(in_set("a.nii"), stripes);
  spec_.max_size = 16;
  const auto volume = read(in_set("a.nii"), spec_);
  EXPECT_EQ(volume.pixels.sizes(), (std::vector<int64_t>{4, 8, 16}));
  EXPECT_EQ(volume.info.spacing, (std::array<double, 3>{1, 2, 2}));
  const Tensor inside = volume.pixels.slice(2, 1, 15).to(torch::kDouble);
  EXPECT_LE((inside - 500).abs().max().item<double>(), 1);  // stripes of one pixel vanish
}

TEST_F(BuildCache, WindowsAreConfiguredOrTheModalitysOrPercentiles) {
  torch::manual_seed(1);
  write_nifti(in_set("a.nii"),
              torch::cat({torch::zeros({5, 20, 10}), torch::arange(1, 1001).view({5, 20, 10})}, 0).to(torch::kInt16));
  EXPECT_EQ(read(in_set("a.nii"), spec_).info.window, (std::array<double, 2>{-1000, 1000}));
  spec_.modality = "mr";
  EXPECT_EQ(read(in_set("a.nii"), spec_).info.window, (std::array<double, 2>{6, 995}));  // 0.5 and 99.5 % of 1 … 1000
  spec_.window = {3, 7};
  EXPECT_EQ(read(in_set("a.nii"), spec_).info.window, (std::array<double, 2>{3, 7}));
}

TEST_F(BuildCache, PhantomsAreTheSameBitsEveryTime) {
  spec_.layout = "phantom";
  spec_.phantom = {.volumes = 2, .size = {6, 16, 16}, .labels = {4, 9}};
  build();
  const data::SliceCache first(cache());
  EXPECT_EQ(first.volumes().size(), 2U);
  EXPECT_NE(first.volumes()[0].content_hash, first.volumes()[1].content_hash);
  build_cache(spec_, folder_.path() / "again", false, nullptr, never);
  EXPECT_EQ(data::SliceCache(folder_.path() / "again").content_hash(), first.content_hash());
  const auto volume = read_volume({.name = "phantom-000"}, spec_);
  std::set<int64_t> ids;
  for (const Tensor& id : std::get<0>(torch::_unique(volume.labels)).unbind()) ids.insert(id.item<int64_t>());
  EXPECT_EQ(ids, (std::set<int64_t>{0, 4, 9}));
}

}  // namespace
}  // namespace ivory::ingest
