// The process that reads DICOM: its death, its silence and its nonsense cost one file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "ingest/dicom_files.h"
#include "ingest/dicom_process.h"
#include "ingest/ingest.h"
#include "ingest/scan.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FakeReader : public ::testing::Test {
 protected:
  // A program that behaves as the lines of a shell script say.
  std::filesystem::path program(const std::string& lines) const {
    const auto file = folder_.path() / "reader";
    write_bytes(file, "#!/bin/sh\n" + lines + "\n");
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    return file;
  }
  std::string failure(const std::string& lines, double seconds = 20) const {
    DicomProcess process(program(lines), seconds);
    const auto bad = failure_of([&] { process.header("a.dcm"); });
    EXPECT_EQ(bad.code, ExitCode::bad_request);
    EXPECT_THAT(bad.message, HasSubstr("a.dcm"));
    return bad.message;
  }
  TemporaryFolder folder_;
};

TEST_F(FakeReader, EveryEndIsASentence) {
  EXPECT_THAT(failure("kill -ABRT $$"), HasSubstr("signal 6"));
  EXPECT_THAT(failure("kill -SEGV $$"), HasSubstr("signal 11"));
  EXPECT_THAT(failure("kill -KILL $$"), HasSubstr("signal 9"));
  EXPECT_THAT(failure("exit 3"), HasSubstr("exit code 3"));
  EXPECT_THAT(failure("exit 0"), HasSubstr("exit code 0"));
  // After a part of an answer.
  EXPECT_THAT(failure("printf '\\100\\0\\0\\0abc' >&0; kill -ABRT $$"), HasSubstr("signal 6"));
}

TEST_F(FakeReader, SilenceAndNonsenseAreSentences) {
  EXPECT_THAT(failure("sleep 100", 0.2), HasSubstr("no answer"));
  EXPECT_THAT(failure("printf '\\100\\0\\0\\0abc' >&0; sleep 100", 0.2), HasSubstr("no answer"));
  EXPECT_THAT(failure("printf '\\377\\377\\377\\377' >&0; sleep 100"), HasSubstr("nonsense"));
  EXPECT_THAT(failure("printf '\\010\\0\\0\\0\\1\\0\\0\\0\\0\\0\\0\\0' >&0; sleep 100"), HasSubstr("nonsense"));
}

TEST_F(FakeReader, AProgramThatIsNotThereIsNamed) {
  DicomProcess process(folder_.path() / "nothing", 1);
  EXPECT_THAT(failure_of([&] { process.header("a.dcm"); }).message, HasSubstr("nothing"));
}

TEST_F(FakeReader, TheNextFileIsReadByAnotherProcess) {
  const auto count = folder_.path() / "count";
  DicomProcess process(program("echo x >> " + count.string() + "; kill -ABRT $$"), 20);
  for (int i = 0; i < 3; ++i) EXPECT_NE(failure_of([&] { process.header("a.dcm"); }).message, "");
  EXPECT_EQ(std::filesystem::file_size(count), 6U);
}

TEST_F(FakeReader, ManyThreadsHaveProcessesOfTheirOwn) {
  const auto file = folder_.path() / "a.dcm";
  write_dicom(file, counted({8, 10}), {});
  std::atomic<int> good = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        for (int k = 0; k < 5; ++k) good += dicom_process().header(file).rows == 8 ? 1 : 0;
      });
  }
  EXPECT_EQ(good, 20);
}

// A volume whose reader dies is skipped, and the build goes on.
TEST_F(FakeReader, OneVolumeIsSkippedAndTheBuildGoesOn) {
  for (const char* name : {"set/a/1.dcm", "set/b/1.dcm", "set/c/1.dcm"})
    write_dicom(folder_.path() / name, counted({8, 10}), {.series = std::string("1.2.") + name[4]});
  const auto real = dicom_process().header(folder_.path() / "set/a/1.dcm");
  EXPECT_EQ(real.columns, 10);
  const char* dir = std::getenv("IVORY_DICOM");
  ASSERT_EQ(dir, nullptr);
  const std::atomic<bool> never = false;
  // The fake dies of every DICOM file; the others are read.
  const config::DataSpec spec = {.name = "set", .path = (folder_.path() / "set").string(), .modality = "ct"};
  ::setenv("IVORY_DICOM", program("kill -ABRT $$").c_str(), 1);
  write_nifti(folder_.path() / "set/n.nii", counted({3, 4, 5}));
  const Report report = build_cache(spec, folder_.path() / "cache", false, nullptr, never, 2);
  ::unsetenv("IVORY_DICOM");
  EXPECT_EQ(report.written, 1);
  EXPECT_EQ(report.skipped.size(), 3U);
  for (const auto& skipped : report.skipped) EXPECT_THAT(skipped.reason, HasSubstr("signal 6"));
}

}  // namespace
}  // namespace ivory::ingest
