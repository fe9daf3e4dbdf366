// TensorBoard's file, read by a script that knows the format only.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "support/paths.h"
#include "support/python.h"
#include "train/event_file.h"
#include "train/metrics_log.h"

namespace ivory::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class Events : public testing::Test {
 protected:
  Events() {
    std::string pattern = (fs::temp_directory_path() / "ivory-events-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~Events() override { fs::remove_all(folder_); }
  void SetUp() override {
    if (!fs::exists(test::python())) GTEST_SKIP() << test::python() << " is missing (scripts/test makes it)";
  }

  // The folder's only event file.
  fs::path file() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      if (entry.path().filename().string().rfind("events.out.tfevents.", 0) == 0) found.push_back(entry.path());
    }
    EXPECT_EQ(found.size(), 1U);
    return found.at(0);
  }
  std::vector<json> events() const {
    std::istringstream lines(test::run_python("train/read_events.py", {file().string()}));
    std::vector<json> read;
    for (std::string line; std::getline(lines, line);) read.push_back(json::parse(line));
    return read;
  }

  fs::path folder_;
};

TEST_F(Events, AnIndependentReaderFindsWhatWasWritten) {
  {
    EventFile written(folder_);
    written.scalar("step/loss", 0.25, 1, 1234.5);
    written.scalar("step/loss", -1e30, 300, 1235.5);
    written.scalar("ünïcode " + std::string(300, 'x'), 3, int64_t{1} << 40, 1e9);
  }
  const auto read = events();
  ASSERT_EQ(read.size(), 4U);
  EXPECT_EQ(read[0]["version"], "brain.Event:2");
  EXPECT_EQ(read[1], (json{{"time", 1234.5}, {"step", 1}, {"values", {{"step/loss", 0.25}}}}));
  EXPECT_EQ(read[2]["step"], 300);
  EXPECT_EQ(read[2]["values"]["step/loss"].get<float>(), -1e30F);
  EXPECT_EQ(read[3]["step"], int64_t{1} << 40);
  EXPECT_EQ(read[3]["values"]["ünïcode " + std::string(300, 'x')], 3.0);
}

TEST_F(Events, MetricsComeWithTheirKindAndNestedNames) {
  {
    MetricsLog log(folder_, 0);
    log.write({{"kind", "step"}, {"step", 1}, {"loss", 2.5}, {"terms", {{"swav", 2.0}}}, {"note", "no number"}});
    log.write({{"kind", "epoch"}, {"step", 1}, {"rss_mib", 100}});
  }
  const auto read = events();
  ASSERT_EQ(read.size(), 4U);
  EXPECT_EQ(read[1]["values"], (json{{"step/loss", 2.5}}));
  EXPECT_EQ(read[2]["values"], (json{{"step/terms/swav", 2.0}}));
  EXPECT_EQ(read[3]["values"], (json{{"epoch/rss_mib", 100.0}}));
}

TEST_F(Events, GoingOnWritesTheKeptLinesAnew) {
  {
    MetricsLog log(folder_, 0);
    for (int step = 1; step <= 5; ++step) log.write({{"kind", "step"}, {"step", step}, {"loss", step}});
  }
  {
    MetricsLog log(folder_, 3);
    log.write({{"kind", "step"}, {"step", 4}, {"loss", 40}});
  }
  std::vector<std::pair<int, double>> losses;
  const auto read = events();
  for (size_t i = 1; i < read.size(); ++i) losses.emplace_back(read[i]["step"], read[i]["values"]["step/loss"]);
  EXPECT_EQ(losses, (std::vector<std::pair<int, double>>{{1, 1}, {2, 2}, {3, 3}, {4, 40}}));
}

TEST_F(Events, TheReaderDoesNoticeDamage) {
  { EventFile(folder_).scalar("a", 1, 1, 1); }
  std::fstream stream(file(), std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(-6, std::ios::end);
  stream.put('\x7f');
  stream.close();
  const std::string command = test::python().string() + " " + test::source_dir() + "/tests/train/read_events.py " +
                              file().string() + " > /dev/null 2>&1";
  EXPECT_NE(std::system(command.c_str()), 0);
}

}  // namespace
}  // namespace ivory::train
