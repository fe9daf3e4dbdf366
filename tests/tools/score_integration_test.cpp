// ivory score, through the program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/command.h"
#include "support/paths.h"

namespace ivory::tools {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ScoreProgram : public testing::Test {
 protected:
  ScoreProgram() {
    std::string pattern = (fs::temp_directory_path() / "ivory-score-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
  }
  ~ScoreProgram() override { fs::remove_all(folder); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder / name) << text;
    return (folder / name).string();
  }
  static test::Answer score(const std::string& arguments) {
    return test::answer_of(test::build_dir() + "/bin/ivory score " + arguments + " 2>&1");
  }

  fs::path folder;
};

// networks_tasks.md §4: of two boxes right, wrong, right.
TEST_F(ScoreProgram, Boxes) {
  const auto truth = write("truth.json", R"({"images": [{"id": 7}], "categories": [{"id": 3, "name": "nodule"}],
    "annotations": [{"image_id": 7, "category_id": 3, "bbox": [0, 0, 10, 10]},
                    {"image_id": 7, "category_id": 3, "bbox": [50, 50, 10, 10]}]})");
  const auto found = write("found.json", R"([{"image_id": 7, "category_id": 3, "bbox": [0, 0, 10, 10], "score": 0.9},
    {"image_id": 7, "category_id": 3, "bbox": [90, 90, 10, 10], "score": 0.8},
    {"image_id": 7, "category_id": 3, "bbox": [50, 50, 10, 10], "score": 0.7}])");
  const auto answer = score("boxes " + found + " " + truth + " --output " + (folder / "out.csv").string());
  EXPECT_EQ(answer.code, 0) << answer.text;
  EXPECT_THAT(answer.text, HasSubstr("0.834983"));
  std::ifstream out(folder / "out.csv");
  std::string heading, row;
  std::getline(out, heading);
  std::getline(out, row);
  EXPECT_EQ(heading, "class,boxes,ap50,ap");
  EXPECT_EQ(row, "nodule,2,0.834983,0.834983");
  EXPECT_THAT(score("boxes " + found + " " + truth + " --precision area").text, HasSubstr("0.833333"));
  const auto flat = write("flat.json", R"([{"image_id": 7, "category_id": 3, "bbox": [0, 0, 0, 10], "score": 0.9}])");
  const auto refused = score("boxes " + flat + " " + truth);
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.text, HasSubstr("a box of 0 x 10 pixels, expected more than 0"));
}

TEST_F(ScoreProgram, Auc) {
  const auto file = write("auc.csv", "scan,score,label\na,0.8,1\na,0.6,0\nb,0.4,1\nb,0.2,0\n");
  const auto answer = score("auc " + file);
  EXPECT_EQ(answer.code, 0) << answer.text;
  EXPECT_THAT(answer.text, HasSubstr("0.75"));
  const auto one = score("auc " + write("one.csv", "score,label\n0.8,1\n0.6,1\n"));
  EXPECT_EQ(one.code, 2);
  EXPECT_THAT(one.text, HasSubstr("both classes are needed"));
  EXPECT_THAT(score("auc " + write("bad.csv", "score,label\n0.8,1\nmuch,0\n")).text,
              HasSubstr("row 3, column 'score': expected a number, got 'much'"));
}

TEST_F(ScoreProgram, Froc) {
  const auto found = write("found.csv",
                           "seriesuid,coordX,coordY,coordZ,probability\na,0,0,0,0.9\na,90,0,0,0.8\nb,50,0,0,0.6\n"
                           "b,90,0,0,0.7\nc,0,0,0,0.5\n");
  const auto truth = write("truth.csv", "seriesuid,coordX,coordY,coordZ,diameter_mm\na,0,0,0,6\nb,50,0,0,6\n");
  const auto answer = score("froc " + found + " " + truth);
  EXPECT_EQ(answer.code, 0) << answer.text;
  EXPECT_THAT(answer.text, HasSubstr("0.785714"));
  EXPECT_THAT(answer.text, HasSubstr("3 scans, 2 nodules, 2 found, 3 false positives"));
  const auto scans = write("scans.csv", "seriesuid\na\nb\n");
  EXPECT_THAT(score("froc " + found + " " + truth + " --scans " + scans).text,
              HasSubstr("the scan 'c' is not one of --scans"));
}

TEST_F(ScoreProgram, SaysWhatIsWrong) {
  EXPECT_EQ(score("").code, 2);
  EXPECT_EQ(score("--help").code, 0);
  EXPECT_THAT(score("colours a b").text, HasSubstr("'colours' is none of masks, boxes, auc, froc"));
  EXPECT_THAT(score("masks a").text, HasSubstr("TRUTH is missing"));
}

}  // namespace
}  // namespace ivory::tools
