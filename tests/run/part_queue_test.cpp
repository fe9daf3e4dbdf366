// Which entries can run, and how long the rest takes.
#include "run/part_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using namespace ivory::experiment;
using testing::ElementsAre;
using testing::IsEmpty;

// Two points share their first stage: a → b (of each point), a → c.
struct Shared : testing::Test {
  PartQueue queue;
  const size_t a = queue.add("a", {.kind = "stage a"});
  const size_t b = queue.add("b", {.kind = "task b", .inputs = {a}});
  const size_t again = queue.add("a", {.point = 1, .kind = "stage a"});
  const size_t c = queue.add("c", {.point = 1, .kind = "task b", .inputs = {again}});
};

TEST_F(Shared, WhatSeveralPlansHoldIsOneJob) {
  EXPECT_EQ(again, a);
  EXPECT_EQ(queue.size(), 3u);
  EXPECT_EQ(queue[a].point, 0u);
}

TEST_F(Shared, InputsComeFirst) {
  EXPECT_THAT(queue.ready(), ElementsAre(a));
  queue.start(a);
  EXPECT_THAT(queue.ready(), IsEmpty());
  queue.finish(a, 10);
  EXPECT_THAT(queue.ready(), ElementsAre(b, c));
}

TEST_F(Shared, WhatNeedsAFailedOneIsLeftToo) {
  const size_t d = queue.add("d", {.kind = "task d", .inputs = {b}});
  queue.finish(a, 1);
  queue.end(b, QueueState::failed, "crashed");
  EXPECT_THAT(queue.ready(), ElementsAre(c)) << "the others go on";
  EXPECT_EQ(queue[d].state, QueueState::left);
  EXPECT_EQ(queue[d].reason, "task b is not done");
}

TEST_F(Shared, TimeLeftIsOfTheSameKindElseOfAll) {
  EXPECT_FALSE(queue.seconds_left(1)) << "nothing was measured";
  queue.finish(a, 10);
  EXPECT_DOUBLE_EQ(*queue.seconds_left(1), 20) << "two tasks, each like what was measured";
  EXPECT_DOUBLE_EQ(*queue.seconds_left(2), 10);
  queue.finish(b, 4);
  EXPECT_DOUBLE_EQ(*queue.seconds_left(1), 4);
  queue.start(c);
  EXPECT_DOUBLE_EQ(*queue.seconds_left(1), 2) << "what runs is half done on average";
}

TEST_F(Shared, WhatWasDoneBeforeMeasuresNothing) {
  queue.finish(a, 0);
  EXPECT_FALSE(queue.seconds_left(1));
}

}  // namespace
