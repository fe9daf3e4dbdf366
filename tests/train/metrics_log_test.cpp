// metrics.jsonl: every step once, whatever happened to the process that wrote it.
#include "train/metrics_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ivory/error.h>
#include <unistd.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "support/full_disk.h"
#include "train/event_file.h"

namespace ivory::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class Metrics : public testing::Test {
 protected:
  Metrics() {
    std::string pattern = (fs::temp_directory_path() / "ivory-metrics-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~Metrics() override { fs::remove_all(folder_); }

  fs::path file() const { return folder_ / "metrics.jsonl"; }
  void write(int64_t after, std::initializer_list<int> steps) const {
    MetricsLog log(folder_, after);
    for (const int step : steps) log.write({{"kind", "step"}, {"step", step}, {"loss", 0.5}});
  }
  std::vector<int> steps() const {
    std::ifstream in(file());
    std::vector<int> found;
    for (std::string line; std::getline(in, line);) found.push_back(json::parse(line).at("step"));
    return found;
  }

  fs::path folder_;
};

TEST_F(Metrics, EveryLineHasItsTime) {
  write(0, {1});
  std::ifstream in(file());
  std::string line;
  ASSERT_TRUE(std::getline(in, line));
  EXPECT_GT(json::parse(line).at("time").get<double>(), 1.7e9);
}

TEST_F(Metrics, GoOnAfterTheCheckpointsStep) {
  write(0, {1, 2, 3, 4, 5});
  write(3, {4, 5, 6});
  EXPECT_THAT(steps(), ElementsAre(1, 2, 3, 4, 5, 6));
  write(0, {1});
  EXPECT_THAT(steps(), ElementsAre(1)) << "without a checkpoint it begins again";
}

TEST_F(Metrics, ALineThatWasCutShortIsDropped) {
  for (const char* rest : {"{\"kind\":\"step\",\"st", "{\"kind\":\"step\",\"step\":3,\"time\":1}", "\n", "{}\n",
                           "[3]\n", "{\"kind\":\"step\",\"step\":\"3\",\"time\":1}\n"}) {
    write(0, {1, 2});
    std::ofstream(file(), std::ios::app) << rest;
    write(9, {3, 4});
    EXPECT_THAT(steps(), ElementsAre(1, 2, 3, 4)) << rest;
  }
}

TEST_F(Metrics, WhatIsNoNumberIsNull) {
  {
    MetricsLog log(folder_, 0);
    log.write({{"kind", "epoch"}, {"step", 1}, {"ratio", std::numeric_limits<double>::quiet_NaN()}});
  }
  std::ifstream in(file());
  std::string line;
  ASSERT_TRUE(std::getline(in, line));
  EXPECT_TRUE(json::parse(line).at("ratio").is_null());
  write(1, {2});
  EXPECT_THAT(steps(), ElementsAre(1, 2));
}

// The limit lies within the line: the system takes its beginning, and says why not the rest when asked again.
TEST_F(Metrics, AFullDiskIsSaidForWhatItIs) {
  MetricsLog log(folder_, 0);
  const test::FullDisk full(20);
  try {
    log.write({{"kind", "step"}, {"step", 1}, {"loss", 0.5}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::missing_data);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("cannot write " + file().string()), HasSubstr("File too large")));
  }
}

TEST(Crc32c, IsCastagnolis) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);              // the check value of its definition
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);    // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U);  // likewise
  EXPECT_EQ(crc32c(""), 0U);
}

}  // namespace
}  // namespace ivory::train
