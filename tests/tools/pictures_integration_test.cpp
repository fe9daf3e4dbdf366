// Images as a user brings them, PNG, JPEG, TIFF and DICOM: read into a cache, or refused in one sentence.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "ingest/dicom_files.h"
#include "ingest/tiff_jpeg_files.h"
#include "support/command.h"
#include "support/paths.h"
#include "support/read.h"

namespace ivory::tools {
namespace {

namespace fs = std::filesystem;
using namespace ingest::testing;
using test::Answer;
using ::testing::AllOf;
using ::testing::HasSubstr;

class Pictures : public ::testing::Test {
 protected:
  Pictures() {
    write_bytes(folder_.path() / "x.toml",
                "[data.films]\nlayout = \"folder\"\npath = \"films\"\nmodality = \"xray\"\n");
  }
  Answer ivory(const std::string& arguments) const {
    return test::answer_of("cd '" + folder_.path().string() + "' && IVORY_CACHE=caches '" + test::build_dir() +
                           "/bin/ivory' " + arguments + " 2>&1");
  }
  static int lines_beside_the_log(const Answer& answer) {
    std::istringstream lines(answer.text);
    int count = 0;
    for (std::string line; std::getline(lines, line);) count += !line.starts_with("[ivory]");
    return count;
  }
  fs::path film(const std::string& name) const { return folder_.path() / "films" / name; }
  std::string png() const {
    write_png(folder_.path() / "whole.png", grey_);
    return test::read(folder_.path() / "whole.png");
  }

  const TemporaryFolder folder_;
  const torch::Tensor grey_ = (torch::arange(24 * 32) % 251).to(torch::kUInt8).view({24, 32});
  const std::string jpeg_ = jpeg_bytes({grey_.slice(0, 0, 3).slice(1, 0, 4)}),
                    tiff_ = tiff_bytes({grey_.to(torch::kInt32).mul(200).to(torch::kUInt16)});
};

TEST_F(Pictures, OfEveryFormatGoIntoACache) {
  write_bytes(film("a.png"), png());
  write_bytes(film("b.jpg"), jpeg_);
  write_bytes(film("c.tif"), tiff_);
  const Answer built = ivory("cache build x.toml");
  EXPECT_EQ(built.code, 0) << built.text;
  const Answer listed = ivory("cache info --list caches/*");
  EXPECT_EQ(listed.code, 0) << listed.text;
  EXPECT_THAT(listed.text, AllOf(HasSubstr("a  "), HasSubstr("b  "), HasSubstr("1 × 24 × 32 uint8"),
                                 HasSubstr("1 × 24 × 32 uint16"), HasSubstr("3 volumes, 3 slices")));
}

TEST_F(Pictures, ATruncatedOneIsOneSentenceThatNamesIt) {
  const std::pair<const char*, std::string> films[] = {{"a.png", png()}, {"a.jpg", jpeg_}, {"a.tif", tiff_}};
  for (const auto& [name, whole] : films) {
    for (const size_t length : {size_t{30}, whole.size() / 2, whole.size() - 2}) {
      fs::remove_all(folder_.path() / "films");
      write_bytes(film(name), whole.substr(0, length));
      const Answer answer = ivory("cache build x.toml");
      EXPECT_EQ(answer.code, 2) << name << " of " << length << " bytes";
      EXPECT_THAT(answer.text, AllOf(HasSubstr(name), HasSubstr("is a truncated or damaged ")));
      EXPECT_EQ(lines_beside_the_log(answer), 1) << answer.text;
    }
  }
}

TEST_F(Pictures, ATruncatedOneIsSkippedBesideAWholeOne) {
  write_bytes(film("a.png"), png());
  write_bytes(film("b.png"), png().substr(0, 30));
  const Answer answer = ivory("cache build x.toml");
  EXPECT_EQ(answer.code, 3);
  EXPECT_THAT(answer.text, AllOf(HasSubstr("b.png skipped"), HasSubstr("1 of 2 volumes were skipped")));
}

// GDCM has something to print of it, too.
TEST_F(Pictures, DicomSlicesAtOnePlaceAreOneSentence) {
  write_bytes(folder_.path() / "x.toml", "[data.scans]\nlayout = \"folder\"\npath = \"films\"\n");
  for (int i = 0; i < 3; ++i)
    write_dicom(film("series/" + std::to_string(i) + ".dcm"), counted({5, 6}) + i,
                {.instance = "1.2.3." + std::to_string(i), .z = i < 2 ? 2.0 : 0.0});
  const Answer answer = ivory("cache build x.toml");
  EXPECT_EQ(answer.code, 2);
  EXPECT_THAT(answer.text, HasSubstr("films/series"));
  EXPECT_EQ(lines_beside_the_log(answer), 1) << answer.text;
}

}  // namespace
}  // namespace ivory::tools
