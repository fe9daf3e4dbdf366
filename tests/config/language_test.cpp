// The reference page says what the code reads.
#include "config/language.h"

#include <gtest/gtest.h>

#include <fstream>

#include "config/fixture.h"
#include "support/paths.h"
#include "support/read.h"

namespace ivory::config::test {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Key;
using testing::Not;

// IVORY_UPDATE_DOCS=1 writes it, as `ivory language` does.
TEST(Language, ThePageHasTheTablesOfTheCode) {
  const std::string file = ivory::test::source_dir() + "/docs/experiment_language.md";
  const std::string page = ivory::test::read(file), made = with_key_tables(page);
  if (std::getenv("IVORY_UPDATE_DOCS")) std::ofstream(file) << made;
  EXPECT_TRUE(page == made) << "run: ivory language docs/experiment_language.md";
}

TEST(Language, EveryKeyOfTheCompleteExperimentIsDescribed) {
  const auto tables = key_tables();
  EXPECT_THAT(tables.at("training"), HasSubstr("| `batch_size` | integer | 32 | ≥ 1 | "));
  EXPECT_THAT(tables.at("training.optimiser"),
              HasSubstr("| `name` | text | `\"sgd\"` | `\"sgd\"`, `\"adamw\"`, `\"lars\"` | "));
  EXPECT_THAT(tables.at("stage.views.volume"), HasSubstr("| `overlap` | number | 0 | 0 ≤ x < 1 | "));
  EXPECT_THAT(tables.at("data.only"), HasSubstr("`volumes`"));
  EXPECT_THAT(tables.at("experiment"), Not(HasSubstr("`trials`"))) << "an older name";
  for (const char* name : {"stage.probes", "task.classes", "task.splits", "table.rows", "sweep.halving"}) {
    EXPECT_THAT(tables, Contains(Key(name)));
  }
}

TEST(Language, AMarkerThatIsNoTableIsNamed) {
  EXPECT_THROW(with_key_tables("<!-- keys stage.vews -->\n<!-- end -->"), Error);
  EXPECT_THROW(with_key_tables("<!-- keys stage -->\n"), Error);
  EXPECT_EQ(with_key_tables("no tables"), "no tables");
}

TEST(Repetitions, AreAlsoReadByTheirOlderName) {
  const std::string now = replaced(complete(), "trials = 3", "repetitions = 3");
  EXPECT_EQ(parse_one(now).repetitions, 3);
  EXPECT_EQ(parse_one(complete()).repetitions, 3);
  EXPECT_EQ(parse_one(now, {"experiment.trials=4"}).repetitions, 4);
  EXPECT_EQ(parse_one(complete(), {"experiment.repetitions=4"}).repetitions, 4);
  EXPECT_EQ(parse_one(now, {"task.organs.trials=2"}).tasks[0].repetitions, 2);
  EXPECT_THAT(to_toml(parse_one(complete())), HasSubstr("\nrepetitions = 3\n"));
  EXPECT_THAT(mistakes(replaced(complete(), "trials = 3", "trials = 3\nrepetitions = 4")),
              testing::ElementsAre(HasSubstr("x.toml:5:1: 'experiment.trials' is an older name")));
}

TEST(Repetitions, PointsOfASweepAreAlsoReadByTheirOlderName) {
  for (const char* key : {"points", "trials"}) {
    const std::string sweep =
        std::string("[sweep]\nmode = \"list\"\n") + key + " = [{\"experiment.seed\" = 3}, {\"experiment.seed\" = 4}]\n";
    EXPECT_EQ(parse(complete() + sweep).size(), 2u) << key;
  }
}

}  // namespace
}  // namespace ivory::config::test
