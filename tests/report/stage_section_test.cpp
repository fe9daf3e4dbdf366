// What the report says of a stage.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "plan/small_experiment.h"
#include "report/report_content.h"

namespace {

using ivory::experiment::ReportSection;
using nlohmann::json;

// Of a stage with this record.
ReportSection section_of(const json& record, const std::filesystem::path& folder) {
  const auto experiment = ivory::test::small_experiment();
  const ivory::experiment::Node node{
      .kind = ivory::experiment::NodeKind::stage, .name = "slices", .stage = &experiment.stages[1]};
  return ivory::experiment::stage_section(node, record, folder);
}

// JSON has no NaN: a diagnostic that could not be computed is null in the record.
TEST(StageSection, AValueThatIsNoNumberIsLeftOut) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "stage-section";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "metrics.jsonl") << R"({"kind": "step", "step": 1, "terms": {"swav": 2.0}})"
                                          << "\n";
  const json record = {
      {"objectives", {{{"name", "swav"}, {"plateau", 3.4}, {"measures", {{"mean_error", {{"unit", "loss"}}}}}}}},
      {"last", {{"swav", 2.0}, {"mean_error", nullptr}, {"perplexity", nullptr}}}};
  const auto section = section_of(record, folder);
  ASSERT_EQ(section.remarks.size(), 1u);
  EXPECT_THAT(section.remarks[0].text, testing::AllOf(testing::HasSubstr("1.4 below"), testing::HasSubstr("3.4")));
  EXPECT_THAT(section.curves.at(0).title, testing::HasSubstr("swav"));
}

// The record knows the unit of a measure and what it is compared with; those in the loss's own unit are its baselines.
TEST(StageSection, MeasuresAreDrawnBesideWhatTheyAreComparedWith) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "stage-section";
  std::filesystem::create_directories(folder);
  const json step = {{"kind", "step"},
                     {"step", 1},
                     {"terms", {{"masked", 2.0}}},
                     {"diagnostics", {{"mean_error", 4.0}, {"entropy", 3.0}}}};
  std::ofstream(folder / "metrics.jsonl") << step << "\n";
  const json measures = {{"mean_error", {{"unit", "loss"}}},
                         {"entropy", {{"unit", "nats"}, {"compare", {{"label", "uniform"}, {"value", 3.4}}}}}};
  const auto section = section_of({{"objectives", {{{"name", "masked"}, {"plateau", 0}, {"measures", measures}}}},
                                   {"last", {{"masked", 2.0}, {"mean_error", 4.0}}}},
                                  folder);
  ASSERT_EQ(section.curves.size(), 1u);
  ASSERT_EQ(section.curves[0].series.size(), 2u) << "the loss and its baseline";
  EXPECT_THAT(section.curves[0].series[1].name, testing::HasSubstr("mean_error"));
  ASSERT_EQ(section.diagnostics.size(), 1u);
  EXPECT_EQ(section.diagnostics[0].y_label, "nats");
  ASSERT_EQ(section.diagnostics[0].references.size(), 1u);
  EXPECT_EQ(section.diagnostics[0].references[0].second, 3.4);
  ASSERT_EQ(section.remarks.size(), 1u);
  EXPECT_THAT(section.remarks[0].text, testing::HasSubstr("50 % of"));
}

TEST(StageSection, SampledPositionsStandOnTheAxisThatTheyAreOf) {
  const auto chart_of = [](json attention) {
    attention["volume"] = "first";
    attention["positions"] = {{{0.5, 2.0}, {1.0, 3.0}}};
    return section_of({{"pictures", {{"attention", attention}}}}, "nowhere").dots.at(0);
  };
  const auto slices = chart_of({{"axis", "slice"}, {"length", 64}, {"file", "attended-volume.png"}});
  EXPECT_THAT(slices.title, testing::StartsWith("Slices that deformable attention samples in volume first"));
  EXPECT_THAT(slices.x_label, testing::StartsWith("slice"));
  EXPECT_EQ(slices.high, 63.5);
  EXPECT_EQ(slices.strip, std::filesystem::path("nowhere/pictures/attended-volume.png"));
  ASSERT_EQ(slices.rows.size(), 2u);
  EXPECT_EQ(slices.rows[1].name, "layer 1, group 2");

  const auto entries = chart_of({{"axis", "embedding"}, {"length", 640}, {"file", ""}});
  EXPECT_THAT(entries.title, testing::StartsWith("Entries of the tokens that deformable attention samples"));
  EXPECT_EQ(entries.x_label, "entry of the tokens");
  EXPECT_EQ(entries.high, 639.5);
  EXPECT_EQ(entries.strip, std::filesystem::path());
  EXPECT_EQ(entries.rows.size(), 2u);
}

// Earlier versions took positions among entries for slices: their records do not tell which.
TEST(StageSection, SampledPositionsOfAnUnknownAxisAreLeftOut) {
  const json attention = {
      {"file", "attended-volume.png"}, {"volume", "first"}, {"frames", 64}, {"positions", {{{2.0}}}}};
  EXPECT_TRUE(section_of({{"pictures", {{"attention", attention}}}}, "nowhere").dots.empty());
}

}  // namespace
