#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "experiment/table.h"

namespace ivory::experiment {
namespace {

using ::testing::HasSubstr;

Table sample() {
  return {.caption = "A & B, 100 %",
          .notes = {"A note"},
          .columns = {"IoU"},
          .rows = {"the \"best\"", "none"},
          .cells = {{{{0.5, 0.75}, ""}}, {{{}, "not finished"}}}};
}

TEST(TableExports, CsvHasALinePerCellWithQuotedTexts) {
  EXPECT_EQ(to_csv(sample()),
            "row,column,mean,deviation,trials,reason\n"
            "\"the \"\"best\"\"\",\"IoU\",0.625,0.17677669529663689,2,\n"
            "\"none\",\"IoU\",,,0,\"not finished\"\n");
}

TEST(TableExports, LatexUsesBooktabsAndEscapes) {
  const std::string text = to_latex(sample());
  EXPECT_THAT(text, HasSubstr("\\caption{A \\& B, 100 \\%. Percent"));
  EXPECT_THAT(text, HasSubstr("\\begin{tabular}{lr}\n\\toprule\n & IoU \\\\\n\\midrule\n"));
  EXPECT_THAT(text, HasSubstr("the \"best\" & 62.50 $\\pm$ 17.68 (2) \\\\\n"));
  EXPECT_THAT(text, HasSubstr("none & -- \\\\\n\\bottomrule"));
}

}  // namespace
}  // namespace ivory::experiment
