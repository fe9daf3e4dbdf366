// What the progress of a build says: rate, megabytes a second, time left.
#include <gtest/gtest.h>

#include "base/text.h"
#include "ingest/ingest.h"
#include "plan/cache_store.h"
#include "train/progress.h"

namespace ivory::experiment {
namespace {

TEST(Pace, IsThatOfTheVolumesRead) {
  const ingest::Progress progress{.done = 20, .total = 100, .reused = 0, .bytes = 300'000'000};
  EXPECT_EQ(pace_text(progress, 10), ", 2.00/s, 30.0 MB/s, " + base::duration_text(40) + " left");
}

TEST(Pace, WhatAnEarlierBuildLeftTookNoTime) {
  const ingest::Progress progress{.done = 70, .total = 100, .reused = 60, .bytes = 50'000'000};
  EXPECT_EQ(pace_text(progress, 5), ", 2.00/s, 10.0 MB/s, " + base::duration_text(15) + " left");
}

TEST(Pace, GeneratedVolumesHaveNoBytesAndTheLastOneLeavesNoTime) {
  EXPECT_EQ(pace_text({.done = 4, .total = 4}, 8), ", 0.50/s");
}

TEST(Pace, NothingIsKnownBeforeTheFirstVolume) {
  EXPECT_EQ(pace_text({.done = 60, .total = 100, .reused = 60}, 5), "");
  EXPECT_EQ(pace_text({.done = 1, .total = 2}, 0), "");
}

}  // namespace
}  // namespace ivory::experiment
