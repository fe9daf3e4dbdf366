// What a program was built with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/command.h"
#include "support/paths.h"

namespace ivory::tools {
namespace {

TEST(Version, BothProgramsNameTheirLibraries) {
  for (const char* program : {"ivory", "run-experiment"}) {
    const test::Answer answer =
        test::answer_of(std::string("'") + test::build_dir() + "/bin/" + program + "' --version 2>&1");
    EXPECT_EQ(answer.code, 0) << program;
    EXPECT_THAT(answer.text, testing::ContainsRegex("^Ivory [0-9.]+ · LibTorch [0-9.]+ · .*HDF5 [0-9.]+ · "))
        << program;
    EXPECT_THAT(answer.text, testing::ContainsRegex("CUDA [0-9.]+|CPU")) << program;
  }
}

}  // namespace
}  // namespace ivory::tools
