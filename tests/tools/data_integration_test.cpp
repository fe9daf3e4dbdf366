// ivory data, as a user runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/layouts.h"
#include "support/command.h"
#include "support/paths.h"

namespace ivory::tools {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using test::Answer;

Answer run(const std::string& arguments) {
  return test::answer_of(std::string("'") + test::build_dir() + "/bin/ivory' " + arguments + " 2>&1");
}

TEST(Data, ListsEveryLayout) {
  const Answer answer = run("data list");
  EXPECT_EQ(answer.code, 0);
  for (const auto& layout : config::known_layouts())
    EXPECT_THAT(answer.text, HasSubstr(layout.name + " ")) << layout.name;
}

TEST(Data, DescribesOne) {
  const Answer answer = run("data describe mmwhs-mri");
  EXPECT_EQ(answer.code, 0);
  EXPECT_THAT(answer.text,
              AllOf(HasSubstr("mr_train_NNNN_image.nii.gz"), HasSubstr("Fudan"), HasSubstr("Terms\n"),
                    HasSubstr("20 with labels"), HasSubstr("420  left atrium"), HasSubstr("train = 0.65")));
  EXPECT_THAT(run("data describe phantom").text, Not(HasSubstr("Terms")));
}

TEST(Data, MistakesAreAnsweredInASentence) {
  const Answer unknown = run("data describe lits");
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.text, HasSubstr("unknown layout 'lits'"));
  EXPECT_THAT(run("data describe lits2016").text, HasSubstr("did you mean 'lits2017'?"));
  EXPECT_THAT(run("data describe").text, HasSubstr("an argument is missing"));
  EXPECT_THAT(run("data lst").text, HasSubstr("unknown command 'lst'"));
  EXPECT_EQ(run("data").code, 2);
  EXPECT_EQ(run("data --help").code, 0);
}

}  // namespace
}  // namespace ivory::tools
