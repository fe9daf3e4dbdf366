#include "run/slurm_limits.h"

#include <gmock/gmock.h>
#include <ivory/error.h>

namespace ivory::experiment {
namespace {

TEST(SlurmLimits, ArraysAreAsLargeAsTheClusterAllows) {
  struct Case {
    const char* configuration;
    size_t largest;
  };
  const Case cases[] = {
      {"", 1000},
      {"MaxArraySize            = 1001", 1000},
      {"MaxArraySize            = 501\nMaxJobCount             = 10000", 501},
      {"Configuration data as of 2026-12-01\nMaxArraySize = 2\n", 2},
      {"MaxArraySize=100001", 1000},
      {"MaxArraySize = 4001\nSchedulerParameters     = bf_window=60,max_array_tasks=200,batch_sched_delay=3", 200},
      {"SchedulerParameters = max_array_tasks=300", 300},
      {"SchedulerParameters = no_max_array_tasks=30", 1000},
      {"MaxArraySize = (null)", 1000},
      {"NotMaxArraySize = 7", 1000},
      {"slurm_load_ctl_conf error: Unable to contact slurm controller", 1000},
  };
  for (const Case& one : cases) EXPECT_EQ(largest_array(one.configuration), one.largest) << one.configuration;
}

TEST(SlurmLimits, ClustersWithoutArraysAreNamed) {
  try {
    largest_array("MaxArraySize = 0");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("MaxArraySize = 0"));
    EXPECT_EQ(error.code(), ExitCode::bad_request);
  }
}

}  // namespace
}  // namespace ivory::experiment
