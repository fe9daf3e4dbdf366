// What the report says of a stage.
#include "report/stage_section.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "plan/small_experiment.h"

namespace {

using namespace ivory::experiment;
using testing::HasSubstr;
using testing::StartsWith;

// Of a stage with this record.
ReportSection section_of(const StageRecord& record, const std::filesystem::path& folder) {
  const auto experiment = ivory::test::small_experiment();
  const Part part{.kind = PartKind::stage, .name = "slices", .stage = &experiment.stages[1]};
  return stage_section(part, Record{.stage = record}, folder);
}

// A diagnostic that could not be computed is NaN.
TEST(StageSection, AValueThatIsNoNumberIsLeftOut) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "stage-section";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "metrics.jsonl") << R"({"kind": "step", "step": 1, "terms": {"swav": 2.0}})"
                                          << "\n";
  const double nan = std::nan("");
  const auto section = section_of({.objectives = {{"swav", 3.4, {{"mean_error", {.unit = "loss"}}}}},
                                   .last = {{"swav", 2.0}, {"mean_error", nan}, {"perplexity", nan}}},
                                  folder);
  ASSERT_EQ(section.remarks.size(), 1u);
  EXPECT_THAT(section.remarks[0].text, testing::AllOf(HasSubstr("1.4 below"), HasSubstr("3.4")));
  EXPECT_THAT(section.curves.at(0).title, HasSubstr("swav"));
}

// The record knows the unit of a measure and what it is compared with; those in the loss's own unit are its baselines.
TEST(StageSection, MeasuresAreDrawnBesideWhatTheyAreComparedWith) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "stage-section";
  std::filesystem::create_directories(folder);
  const nlohmann::json step = {{"kind", "step"},
                               {"step", 1},
                               {"terms", {{"masked", 2.0}}},
                               {"diagnostics", {{"mean_error", 4.0}, {"entropy", 3.0}}}};
  std::ofstream(folder / "metrics.jsonl") << step << "\n";
  const RecordedObjective masked{.name = "masked",
                                 .measures = {{"mean_error", {.unit = "loss"}},
                                              {"entropy", {.unit = "nats", .compare = NamedValue{"uniform", 3.4}}}}};
  const auto section = section_of({.objectives = {masked}, .last = {{"masked", 2.0}, {"mean_error", 4.0}}}, folder);
  ASSERT_EQ(section.curves.size(), 1u);
  ASSERT_EQ(section.curves[0].series.size(), 2u) << "the loss and its baseline";
  EXPECT_THAT(section.curves[0].series[1].name, HasSubstr("mean_error"));
  ASSERT_EQ(section.diagnostics.size(), 1u);
  EXPECT_EQ(section.diagnostics[0].y_label, "nats");
  ASSERT_EQ(section.diagnostics[0].references.size(), 1u);
  EXPECT_EQ(section.diagnostics[0].references[0].second, 3.4);
  ASSERT_EQ(section.remarks.size(), 1u);
  EXPECT_THAT(section.remarks[0].text, HasSubstr("50 % of"));
}

TEST(StageSection, SampledPositionsStandOnTheAxisThatTheyAreOf) {
  AttentionPicture attention{
      .file = "attended-volume.png", .volume = "first", .length = 64, .positions = {{{0.5, 2.0}, {1.0, 3.0}}}};
  const auto chart = [&] { return section_of({.pictures = {.attention = attention}}, "nowhere").dots.at(0); };
  const auto slices = chart();
  EXPECT_THAT(slices.title, StartsWith("Slices that deformable attention samples in volume first"));
  EXPECT_THAT(slices.x_label, StartsWith("slice"));
  EXPECT_EQ(slices.high, 63.5);
  EXPECT_EQ(slices.strip, std::filesystem::path("nowhere/pictures/attended-volume.png"));
  ASSERT_EQ(slices.rows.size(), 2u);
  EXPECT_EQ(slices.rows[1].name, "layer 1, group 2");

  attention.of_slices = false;
  attention.length = 640;
  const auto entries = chart();
  EXPECT_THAT(entries.title, StartsWith("Entries of the tokens that deformable attention samples"));
  EXPECT_EQ(entries.x_label, "entry of the tokens");
  EXPECT_EQ(entries.high, 639.5);
  EXPECT_EQ(entries.strip, std::filesystem::path());
  EXPECT_EQ(entries.rows.size(), 2u);
}

}  // namespace
