// Durable writes: whole or not at all, in the right order, and never taken for done before they are.
#include "base/files.h"

#include <gmock/gmock.h>
#include <ivory/error.h>

#include <fstream>

#include "base/write_steps.h"
#include "support/full_disk.h"
#include "support/read.h"
#include "support/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using namespace ivory::base;
using ivory::Error;
using ivory::ExitCode;
using ivory::test::read;
using testing::ElementsAre;
using testing::HasSubstr;

class Files : public ivory::test::TemporaryFolder {
 protected:
  ~Files() override { write_observer() = {}; }

  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder_)) found.push_back(entry.path().filename());
    return found;
  }

  template <class Body>
  ExitCode code_of(const Body& body) const {
    try {
      body();
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(folder_.filename().string()));
      return error.code();
    }
    return ExitCode::done;
  }

  const fs::path file_ = folder_ / "record.json";
};

TEST_F(Files, ReplaceWhatWasThere) {
  for (const std::string text : {"one", "two", ""}) {
    write_durable(file_, text);
    EXPECT_EQ(read(file_), text);
    EXPECT_EQ(read_text(file_), text);
  }
  write_derived(file_, "three");
  EXPECT_EQ(read(file_), "three");
  EXPECT_THAT(names(), ElementsAre("record.json")) << "nothing temporary stays";
}

TEST_F(Files, WithoutTheirFolderAreAnError) {
  EXPECT_EQ(code_of([&] { write_durable(folder_ / "absent" / "a", "text"); }), ExitCode::run_failed);
  EXPECT_EQ(code_of([&] { write_derived(folder_ / "absent" / "a", "text"); }), ExitCode::run_failed);
  EXPECT_EQ(code_of([&] { read_text(folder_ / "absent"); }), ExitCode::missing_data);
}

TEST_F(Files, OnAFullDiskTheOldContentStays) {
  write_durable(file_, "old");
  const std::string large(1 << 16, 'x');
  {
    const ivory::test::FullDisk full(1 << 12);
    EXPECT_EQ(code_of([&] { write_durable(file_, large); }), ExitCode::missing_data);
    EXPECT_EQ(code_of([&] { write_derived(file_, large); }), ExitCode::missing_data);
  }
  EXPECT_EQ(read(file_), "old");
  EXPECT_THAT(names(), ElementsAre("record.json"));
}

TEST_F(Files, HaveTheirNameBeforeTheirFolderIsFlushed) {
  std::vector<WriteStep> steps;
  write_observer() = [&](WriteStep step, const fs::path& path) {
    EXPECT_EQ(path, file_);
    EXPECT_EQ(read(path), "text");
    steps.push_back(step);
  };
  write_durable(file_, "text");
  EXPECT_THAT(steps, ElementsAre(WriteStep::renamed, WriteStep::durable));
}

// As a disk that fails, or a power cut, between the rename and the folder's flush.
TEST_F(Files, AreNotWrittenWhenTheirFolderCannotBeFlushed) {
  write_observer() = [](WriteStep step, const fs::path&) {
    if (step == WriteStep::renamed) throw Error(ExitCode::run_failed, "power failure");
  };
  EXPECT_THROW(write_durable(file_, "text"), Error) << "whoever waits for the record must not go on";
  std::ofstream(folder_ / "made") << "otherwise";
  EXPECT_THROW(publish(folder_ / "made", file_), Error);
}

TEST_F(Files, DerivedOnesWaitForNoDisk) {
  write_observer() = [](WriteStep, const fs::path&) { FAIL() << "flushed"; };
  write_derived(file_, "text");
}

TEST_F(Files, UnderConstructionVanishUnlessTheyArePublished) {
  {
    DurableFile draft(file_);
    draft.write("text", 4);
    EXPECT_TRUE(is_temporary(draft.temporary()));
    EXPECT_EQ(read(draft.temporary()), "text");
    EXPECT_FALSE(fs::exists(file_));
  }
  EXPECT_THAT(names(), ElementsAre());
  DurableFile draft(file_);
  draft.write("te", 2);
  draft.write("xt", 2);
  EXPECT_EQ(draft.publish(), hash_file(file_));
  EXPECT_EQ(hash_file(file_), hash128("text"));
  EXPECT_FALSE(is_temporary(file_));
  EXPECT_FALSE(is_temporary("volume.tmp.h5")) << "a volume may be called so";
}

TEST_F(Files, FoldersAndLinksArePublishedLikewise) {
  std::vector<fs::path> durable;
  write_observer() = [&](WriteStep step, const fs::path& path) {
    if (step == WriteStep::durable) durable.push_back(path);
  };
  fs::create_directory(folder_ / ".tmp-step");
  publish(folder_ / ".tmp-step", folder_ / "step");
  fs::create_directory_symlink("step", folder_ / ".tmp-best");
  publish(folder_ / ".tmp-best", folder_ / "best");
  EXPECT_TRUE(fs::is_directory(folder_ / "step"));
  EXPECT_EQ(fs::read_symlink(folder_ / "best"), "step");
  EXPECT_THAT(durable, ElementsAre(folder_ / "step", folder_ / "best"));
}

// Nothing in /proc can be flushed, as on some network file systems.
TEST_F(Files, AFolderThatCannotBeFlushedIsNoError) {
  EXPECT_NO_THROW(sync_folder("/proc"));
  EXPECT_EQ(code_of([&] { sync_folder(folder_ / "absent"); }), ExitCode::run_failed);
}

TEST_F(Files, AFolderIsProvedToBeWritable) {
  require_writable(folder_ / "a" / "b");
  EXPECT_TRUE(fs::is_empty(folder_ / "a" / "b"));
  std::ofstream(folder_ / "file") << "no folder";
  EXPECT_EQ(code_of([&] { require_writable(folder_ / "file" / "run"); }), ExitCode::bad_request);
}

}  // namespace
