// Files of the store and of run folders, to JSON and back; and those of earlier versions.
#include "plan/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/cache_fixtures.h"

namespace ivory::experiment {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

class RecordTest : public testing::Test {
 protected:
  void file(const char* name, const std::string& text) const { std::ofstream(folder_.path() / name) << text; }
  Record read(const json& written) const {
    file(record_file, written.dump());
    return read_record(folder_.path()).value();
  }

  const data::testing::TemporaryFolder folder_;
};

TEST_F(RecordTest, AStageComesBackAsItWas) {
  const Record record{
      .kind = PartKind::stage,
      .identity = "abc",
      .label = "stage slices",
      .finished = "2026-11-24T00:10:00Z",
      .smoke = true,
      .steps = 40,
      .epochs = 2.5,
      .seconds = 12.25,
      .work = {.samples = 320, .megapixels = 1.5},
      .peak_mib = 900,
      .provenance = {.version = "Ivory 0.1", .dirty = true, .device = "cpu", .cores = 2, .environment = {{"A", "b"}}},
      .inputs = {"stage-first-0123"},
      .weights = RecordedWeights{.bytes = 17, .xxh3 = "0f"},
      .stage = {.objectives = {{"swav", 3.5, {{"entropy", {"nats", NamedValue{"uniform", 3.25}}}}}},
                .last = {{"swav", 2.0}, {"perplexity", std::nan("")}},
                .pictures = {.prototypes = {{"swav", "p.png", "prototype 1", "a slice 2"}},
                             .attention = AttentionPicture{false, "", "v", 8, {{{0.5, 1}}}}}}};
  file(record_file, to_json(record));
  const Record found = read_record(folder_.path()).value();
  EXPECT_EQ(to_json(found), to_json(record));
  EXPECT_TRUE(std::isnan(found.stage.last.at("perplexity"))) << "null in JSON";
  EXPECT_FALSE(found.stage.pictures.attention->of_slices);
  EXPECT_EQ(found.provenance.environment.at("A"), "b");
}

TEST_F(RecordTest, ATaskComesBackAsItWas) {
  const Record record{.kind = PartKind::task,
                      .identity = "abc",
                      .task = {.best_epoch = 3,
                               .validation = {{"iou", 0.5}},
                               .test = {{"iou", 0.25}, {"iou/liver", std::nan("")}},
                               .cases = {{"first", 0.75}, {"second", std::nan("")}},
                               .counts = {{"empty ground truth", 3}},
                               .pictures = {{"a.png", "first"}}}};
  file(record_file, to_json(record));
  const Record found = read_record(folder_.path()).value();
  EXPECT_EQ(to_json(found), to_json(record));
  EXPECT_TRUE(std::isnan(found.task.test[1].value));
  EXPECT_THAT(found.task.counts, ElementsAre(Pair("empty ground truth", 3)));
}

TEST_F(RecordTest, WhatIsNotThereOrOfAnotherTypeIsLeftAsDeclared) {
  const Record record = read({{"identity", "abc"}, {"steps", "many"}, {"weights", "weights.safetensors"}});
  EXPECT_EQ(record.identity, "abc");
  EXPECT_EQ(record.steps, 0);
  EXPECT_FALSE(record.weights) << "records without a checksum named the file";
  EXPECT_THAT(record.stage.objectives, IsEmpty());
}

// Earlier versions took positions among entries for slices: their records do not say which.
TEST_F(RecordTest, SampledPositionsOfAnUnknownAxisAreLeftOut) {
  const json attention = {{"file", "a.png"}, {"volume", "first"}, {"frames", 64}, {"positions", {{{2.0}}}}};
  EXPECT_FALSE(read({{"kind", "stage"}, {"pictures", {{"attention", attention}}}}).stage.pictures.attention);
}

TEST_F(RecordTest, HalfWrittenFilesAreNone) {
  for (const char* name : {record_file, failure_file, stopped_file, plan_file, sweep_file, provenance_file}) {
    file(name, "[{\"identity\": \"abc");
  }
  EXPECT_FALSE(read_record(folder_.path()));
  EXPECT_FALSE(read_failure(folder_.path()));
  EXPECT_FALSE(read_stopped(folder_.path()));
  EXPECT_FALSE(read_plan(folder_.path()));
  EXPECT_FALSE(read_sweep(folder_.path()));
  EXPECT_EQ(read_provenance(folder_.path()).started, "");
}

TEST_F(RecordTest, EndsPlansAndSweepsComeBackAsTheyWere) {
  const Failure failure{.identity = "a", .label = "b", .reason = "c", .code = ExitCode::missing_data, .finished = "d"};
  file(failure_file, to_json(failure));
  EXPECT_EQ(to_json(read_failure(folder_.path()).value()), to_json(failure));
  EXPECT_EQ(read_failure(folder_.path())->code, ExitCode::missing_data);
  const EarlyStop stop{.identity = "a", .label = "b", .reason = "c", .finished = "d", .smoke = true};
  file(stopped_file, to_json(stop));
  EXPECT_EQ(to_json(read_stopped(folder_.path()).value()), to_json(stop));
  const std::vector<PlannedPart> plan = {
      {.folder = "stage-a-1", .label = "stage a", .identity = "1", .settings = "s", .content = {"x"}, .inputs = {}},
      {.folder = "task-b-2", .inputs = {"1"}, .smoke = true, .without_data = true, .other_settings = true}};
  file(plan_file, to_json(plan));
  EXPECT_EQ(to_json(read_plan(folder_.path()).value()), to_json(plan));
  const std::vector<PlannedPoint> sweep = {{.folder = "lr-01", .point = "stage.a.lr=0.1"}};
  file(sweep_file, to_json(sweep));
  EXPECT_EQ(read_sweep(folder_.path())->front().point, "stage.a.lr=0.1");
}

TEST_F(RecordTest, LabelsOfEarlierVersionsAreKnownAgain) {
  file(plan_file, R"([{"label": "task organs, from scratch, trial 2", "identity": "1"}])");
  EXPECT_EQ(read_plan(folder_.path())->front().label, "task organs, from scratch, repetition 2");
}

TEST_F(RecordTest, ProvenanceShowsOnlyWhatIsKnown) {
  EXPECT_THAT(entries({.device = "cpu", .cores = 2}), ElementsAre(Pair("cores", "2"), Pair("device", "cpu")));
  EXPECT_THAT(entries({}), IsEmpty());
}

}  // namespace
}  // namespace ivory::experiment
