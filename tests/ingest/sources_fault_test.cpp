// A cache knows what it read: what changed is read again, what is new comes, what is gone leaves.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "data/sources.h"
#include "ingest/dicom_files.h"
#include "ingest/ingest.h"
#include "ingest/stored_files.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

namespace fs = std::filesystem;

const std::atomic<bool> never = false;

class CacheSources : public ::testing::Test {
 protected:
  CacheSources() { spec_ = {.name = "set", .path = (folder_.path() / "set").string(), .modality = "ct"}; }
  fs::path in_set(const std::string& name) const { return folder_.path() / "set" / name; }
  fs::path cache() const { return folder_.path() / "cache"; }
  void add(const std::string& name, int first = 0) const { write_nifti(in_set(name), counted({3, 4, 5}) + first); }
  Report build() const { return build_cache(spec_, cache(), false, nullptr, never, 2); }
  std::vector<std::string> volumes() const {
    std::vector<std::string> names;
    const data::SliceCache read(cache());
    for (const auto& volume : read.volumes()) names.push_back(volume.name);
    return names;
  }
  std::vector<std::string> faults() const {
    return data::verify_sources(data::read_sources(cache()), data::SliceCache(cache()).volumes());
  }
  // Another time of writing, before now: a file of a later time counts as one that changed while it was read.
  static void touch(const fs::path& file) {
    fs::last_write_time(file, fs::last_write_time(file) - std::chrono::seconds(2));
  }

  TemporaryFolder folder_;
  config::DataSpec spec_;
};

// Every file behind a volume: rewritten in place, with the same size.
TEST_F(CacheSources, AnyFileOfAVolumeThatChangesIsNoticed) {
  const torch::Tensor voxels = counted({4, 6, 5}), others = counted({4, 6, 5}) + 500;
  for (const auto& file : every_form(voxels)) file.write(in_set(file.name + ".d"));
  for (int i = 0; i < 4; ++i)
    write_bytes(in_set(fmt::format("dicom/{}.dcm", i)), dicom_file(ct_slice(counted({4, 5}) + i, i)));
  add("n.nii");
  write_nifti(in_set("n_label.nii"), (counted({3, 4, 5}) % 3).to(torch::kUInt8));
  const Report first = build();
  EXPECT_THAT(first.skipped, IsEmpty());
  const int64_t all = first.written;
  EXPECT_EQ(build().reused, all);
  EXPECT_THAT(faults(), IsEmpty());

  std::vector<fs::path> files = {in_set("dicom/2.dcm"), in_set("n.nii"), in_set("n_label.nii")};
  for (const auto& file : every_form(voxels)) {
    files.push_back(in_set(file.name + ".d") / file.name);
    for (const auto& [name, bytes] : file.data)
      if (!name.empty()) files.push_back(in_set(file.name + ".d") / name);
  }
  for (const auto& file : files) {
    touch(file);
    const Report again = build();
    EXPECT_EQ(again.written, 1) << file;
    EXPECT_EQ(again.reused, all - 1) << file;
    EXPECT_EQ(build().written, 0) << file;
  }
}

TEST_F(CacheSources, VolumesAndMasksComeAndGo) {
  for (const char* name : {"a.nii", "b.nii", "c.nii"}) add(name);
  build();
  fs::remove(in_set("b.nii"));
  add("d.nii");
  const Report second = build();
  EXPECT_EQ(second.written, 1);
  EXPECT_THAT(volumes(), ElementsAre("a", "c", "d"));
  write_nifti(in_set("c_label.nii"), (counted({3, 4, 5}) % 3).to(torch::kUInt8));
  EXPECT_EQ(build().written, 1);
  EXPECT_TRUE(data::SliceCache(cache()).volumes()[1].has_labels);
  fs::remove(in_set("c_label.nii"));
  EXPECT_EQ(build().written, 1);
  EXPECT_FALSE(data::SliceCache(cache()).volumes()[1].has_labels);
}

TEST_F(CacheSources, SlicesOfASeriesComeAndGo) {
  const auto slice = [&](int i) {
    write_bytes(in_set(fmt::format("s/{}.dcm", i)), dicom_file(ct_slice(counted({4, 5}) + i, i)));
  };
  for (int i = 0; i < 4; ++i) slice(i);
  build();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the folder's time has to be another one
  slice(4);
  EXPECT_EQ(build().written, 1);
  EXPECT_EQ(data::SliceCache(cache()).volumes()[0].slices, 5);
  fs::remove(in_set("s/0.dcm"));
  EXPECT_EQ(build().written, 1);
  EXPECT_EQ(data::SliceCache(cache()).volumes()[0].slices, 4);
}

TEST_F(CacheSources, ATableOrDescriptionThatChangesIsReadAgain) {
  for (const char* name : {"imagesTr/a.nii", "imagesTr/b.nii"}) add(name);
  spec_.layout = "msd", spec_.modality = "";
  const auto describe = [&](const char* modality) {
    write_bytes(in_set("dataset.json"), std::string("{\"modality\": {\"0\": \"") + modality +
                                            "\"}, \"training\": [{\"image\": \"./imagesTr/a.nii\"}, {\"image\": "
                                            "\"./imagesTr/b.nii\"}]}");
  };
  describe("MRI");
  build();
  EXPECT_EQ(data::SliceCache(cache()).volumes()[0].modality, "mr");
  EXPECT_EQ(build().reused, 2);
  describe("CT");
  touch(in_set("dataset.json"));
  EXPECT_EQ(build().written, 2);
  EXPECT_EQ(data::SliceCache(cache()).volumes()[0].modality, "ct");
}

TEST_F(CacheSources, OfABuildThatWasKilledTheyAreKnown) {
  const torch::Tensor voxels = counted({4, 6, 5});
  for (int i = 0; i < 5; ++i) {
    StoredFile file = {"v.mhd", meta_header(voxels, "", "v.raw"), {{"v.raw", raw_bytes(voxels + i)}}};
    file.write(in_set(fmt::format("p{}", i)));
  }
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
  touch(in_set("p0/v.raw"));
  const Report report = build();
  EXPECT_EQ(report.reused, 2);
  EXPECT_EQ(report.written, 3);
  EXPECT_FALSE(fs::exists(cache() / ".sources.journal"));
}

TEST_F(CacheSources, SourcesAreVerifiedByTheirBytes) {
  for (const char* name : {"a.nii", "b.nii", "c.nii"}) add(name);
  build();
  EXPECT_THAT(faults(), IsEmpty());
  const auto time = fs::last_write_time(in_set("b.nii"));
  add("b.nii", 1);  // of the same size, and with the old time
  fs::last_write_time(in_set("b.nii"), time);
  fs::remove(in_set("c.nii"));
  EXPECT_THAT(faults(), ::testing::UnorderedElementsAre(HasSubstr("b.nii"), HasSubstr("c.nii: is gone")));
}

TEST_F(CacheSources, AFileThatChangesWhileItIsReadIsReadAgain) {
  for (const char* name : {"a.nii", "b.nii"}) add(name);
  fs::last_write_time(in_set("a.nii"), fs::file_time_type::clock::now() + std::chrono::hours(1));
  build();
  EXPECT_EQ(build().written, 1);
}

}  // namespace
}  // namespace ivory::ingest
