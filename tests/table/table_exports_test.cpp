#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "table/table.h"

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
            "row,column,mean,deviation,repetitions,reason,difference,p,group,paper,paper deviation,rank,kind,"
            "difference from paper\n"
            "\"the \"\"best\"\"\",\"IoU\",0.625,0.17677669529663689,2,,,,,,,,measured,\n"
            "\"none\",\"IoU\",,,0,\"not finished\",,,,,,,measured,\n");
}

TEST(TableExports, ComparedCellsSayByHowMuchAndHowSurely) {
  Table table = sample();
  table.compared = "none";
  table.cells[0][0].against = eval::PairedTest{.difference = 0.125, .t = 3, .p = 0.0404};
  EXPECT_THAT(to_csv(table), HasSubstr(",0.17677669529663689,2,,0.125,0.040399999999999998,"));
  EXPECT_THAT(to_markdown(table), HasSubstr("| 62.50 ± 17.68 (2), +12.50, p 0.040 |"));
  EXPECT_THAT(to_markdown(table),
              HasSubstr("mean difference from 'none' in percentage points, p of a two-sided paired"));
  table.cells[0][0].against->p = 1e-9;
  EXPECT_THAT(to_console(table), HasSubstr("(2), +12.50, p < 0.001"));
  EXPECT_THAT(to_latex(table), HasSubstr("(2), +12.50, p $<$ 0.001 "));
}

// Two measured rows in groups, one that does not exist yet, beside the figures of a paper.
Table beside_paper() {
  Table table = sample();
  table.caption = "Ours";
  table.source = "A paper, Table 1";
  table.rows = {"first", "second", "third"};
  table.groups = {"old", "new", "new"};
  table.cells = {{{{0.5, 0.75}, ""}}, {{{0.7}, ""}}, {{{}, "not implemented yet"}}};
  table.cells[0][0].paper = {{.mean = 60, .deviation = 1.5}};
  table.cells[0][0].rank = 2;
  table.cells[1][0].rank = 1;
  table.cells[2][0].paper = {{.mean = 71.25}};
  table.cells[2][0].absent = true;
  return table;
}

TEST(TableExports, ThePapersFiguresStandBesideTheMeasured) {
  const std::string markdown = to_markdown(beside_paper());
  EXPECT_THAT(markdown, HasSubstr("|  | IoU | paper | difference |\n|---|---:|---:|---:|\n| *old* | | | |\n"
                                  "| first | *62.50 ± 17.68 (2)* | 60.00 ± 1.50 | +2.50 |\n| *new* | | | |\n"
                                  "| second | **70.00 (1)** |  |  |\n"
                                  "| third | not implemented yet | 71.25 |  |\n"));
  EXPECT_THAT(markdown, HasSubstr("best measured of the column in bold, second best in italics; paper: A paper, Table "
                                  "1; difference: measured less paper"));
  const std::string latex = to_latex(beside_paper());
  EXPECT_THAT(latex, HasSubstr("\\multicolumn{4}{l}{\\emph{old}} \\\\\n"
                               "first & \\underline{62.50 $\\pm$ 17.68 (2)} & 60.00 $\\pm$ 1.50 & +2.50 \\\\\n"));
  EXPECT_THAT(latex, HasSubstr("second & \\textbf{70.00 (1)} &  &  \\\\\n"));
  const std::string csv = to_csv(beside_paper());
  EXPECT_THAT(csv, HasSubstr("\"first\",\"IoU\",0.625,0.17677669529663689,2,,,,\"old\",0.59999999999999998,"
                             "0.014999999999999999,2,measured,0.025000000000000001\n"))
      << "measured less paper, a fraction as they are";
  EXPECT_THAT(csv,
              HasSubstr("\"third\",\"IoU\",,,0,\"not implemented yet\",,,\"new\",0.71250000000000002,,,measured,\n"));
  const std::string console = to_console(beside_paper());
  EXPECT_THAT(console, HasSubstr("  old\n    first   62.50 ± 17.68 (2) [2]  60.00 ± 1.50  +2.50"));
  EXPECT_THAT(console, testing::Not(HasSubstr("– third"))) << "what was never to be measured needs no footnote";
}

TEST(TableExports, ReasonsOfEmptyCellsAreToldOnce) {
  Table table = sample();
  table.rows.emplace_back("last");
  table.cells.push_back({{{}, "not finished"}});
  EXPECT_THAT(to_console(table), HasSubstr("– none, IoU; last, IoU: not finished\n"));
}

TEST(TableExports, ACellThatLacksARepetitionSaysWhy) {
  Table table = sample();
  table.cells[0][0].reason = "the score of repetition 3 is not a number";
  EXPECT_THAT(to_markdown(table), HasSubstr("| 62.50 ± 17.68 (2) |"));
  EXPECT_THAT(to_markdown(table), HasSubstr("– the \"best\", IoU: the score of repetition 3 is not a number\n"));
  EXPECT_THAT(to_csv(table), HasSubstr(",0.17677669529663689,2,\"the score of repetition 3 is not a number\","));
}

TEST(TableExports, EveryLineOfASmokeRunsCsvSaysSo) {
  Table table = beside_paper();
  table.smoke = true;
  const std::string csv = to_csv(table);
  size_t lines = 0, marked = 0;
  for (size_t at = csv.find('\n'); at != std::string::npos; at = csv.find('\n', at + 1)) ++lines;
  for (size_t at = csv.find(",smoke,"); at != std::string::npos; at = csv.find(",smoke,", at + 1)) ++marked;
  EXPECT_EQ(marked + 1, lines);
  EXPECT_THAT(to_latex(table), testing::StartsWith("% SMOKE RUN, no result\n"));
}

// Each format's own special characters, wherever a text of the experiment's author comes in.
TEST(TableExports, TextsStayTexts) {
  struct Case {
    const char *text, *markdown, *latex, *console;
  };
  const Case cases[] = {{"a|b", "a\\|b", "a|b", "a|b"},
                        {"a*b*c", "a\\*b\\*c", "a*b*c", "a*b*c"},
                        {"swav_3d", "swav_3d", "swav\\_3d", "swav_3d"},
                        {"_a_", "\\_a\\_", "\\_a\\_", "_a_"},
                        {"a`b`", "a\\`b\\`", "a`b`", "a`b`"},
                        {"<b>x</b>", "\\<b>x\\</b>", "$<$b$>$x$<$/b$>$", "<b>x</b>"},
                        {"p < 1", "p < 1", "p $<$ 1", "p < 1"},
                        {"[x](y)", "\\[x\\](y)", "[x](y)", "[x](y)"},
                        {"~~x~~", "\\~\\~x\\~\\~", "\\~{}\\~{}x\\~{}\\~{}", "~~x~~"},
                        {"a\\b", "a\\\\b", "a\\textbackslash{}b", "a\\b"},
                        {"&lt; & 5 %", "\\&lt; & 5 %", "\\&lt; \\& 5 \\%", "&lt; & 5 %"},
                        {"#1 $x$ {y}^2", "\\#1 $x$ {y}^2", "\\#1 \\$x\\$ \\{y\\}\\^{}2", "#1 $x$ {y}^2"},
                        {"two\nlines\tand\rmore", "two lines and more", "two lines and more", "two lines and more"}};
  for (const Case& one : cases) {
    Table table = sample();
    table.rows[0] = table.columns[0] = table.caption = one.text;
    table.groups = {one.text, one.text};
    table.notes = {one.text};
    const std::string markdown = to_markdown(table), latex = to_latex(table), console = to_console(table);
    EXPECT_THAT(markdown, HasSubstr("**" + std::string(one.markdown) + "**\n\n|  | " + one.markdown + " |\n"));
    EXPECT_THAT(markdown, HasSubstr("\n| *" + std::string(one.markdown) + "* | |\n| " + one.markdown + " | 62.50"));
    EXPECT_THAT(markdown, HasSubstr("\n\n" + std::string(one.markdown) + "\n"));
    EXPECT_THAT(latex, HasSubstr("\\caption{" + std::string(one.latex) + ". "));
    EXPECT_THAT(latex, HasSubstr("\n & " + std::string(one.latex) + " \\\\\n\\midrule\n"));
    EXPECT_THAT(latex, HasSubstr("{l}{\\emph{" + std::string(one.latex) + "}} \\\\\n" + one.latex + " & 62.50"));
    EXPECT_THAT(latex, testing::EndsWith("\n% " + std::string(one.console) + "\n"));
    EXPECT_THAT(console, HasSubstr("\n    " + std::string(one.console) + " "));
  }
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
