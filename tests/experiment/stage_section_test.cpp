// What the report says of a stage.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "experiment/report_content.h"
#include "small_experiment.h"

namespace {

using nlohmann::json;

// JSON has no NaN: a diagnostic that could not be computed is null in the record.
TEST(StageSection, AValueThatIsNoNumberIsLeftOut) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "stage-section";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "metrics.jsonl") << R"({"kind": "step", "step": 1, "terms": {"swav": 2.0}})"
                                          << "\n";
  const auto experiment = ivory::test::small_experiment();
  const ivory::experiment::Node node{
      .kind = ivory::experiment::NodeKind::stage, .name = "slices", .stage = &experiment.stages[1]};
  const json record = {{"objectives", {{{"name", "swav"}, {"plateau", 3.4}}}},
                       {"last", {{"swav", 2.0}, {"mean_token_error", nullptr}, {"perplexity", nullptr}}}};
  const auto section = ivory::experiment::stage_section(node, record, folder);
  ASSERT_EQ(section.remarks.size(), 1u);
  EXPECT_THAT(section.remarks[0].text, testing::HasSubstr("was 2 in the last epoch, 1.4 below ln H = 3.4"));
  EXPECT_THAT(section.curves.at(0).title, testing::HasSubstr("swav"));
}

}  // namespace
