// Gloo between threads of this process, each with a group of its own: the same calls as between processes.
#include "train/process_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ivory/nn/clustering.h>

#include <map>

#include "support/errors.h"
#include "support/gloo_group.h"
#include "train/launch.h"

namespace ivory::train {
namespace {

using test::in_group;
using testing::HasSubstr;
using torch::Tensor;

std::optional<Launch> launched_with(const std::map<std::string, std::string>& variables) {
  return launch_of([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(Launch, AloneWithoutALauncher) {
  EXPECT_FALSE(launched_with({{"HOME", "/root"}}));
  EXPECT_FALSE(launched_with({{"RANK", "0"}, {"WORLD_SIZE", "1"}, {"LOCAL_RANK", "0"}}));
}

TEST(Launch, Torchrun) {
  const auto launch = launched_with({{"RANK", "3"},
                                     {"LOCAL_RANK", "1"},
                                     {"WORLD_SIZE", "4"},
                                     {"MASTER_ADDR", "gpu7"},
                                     {"MASTER_PORT", "12345"},
                                     {"TORCHELASTIC_RUN_ID", "abc"},
                                     {"TORCHELASTIC_RESTART_COUNT", "2"},
                                     {"TORCHELASTIC_USE_AGENT_STORE", "True"}});
  ASSERT_TRUE(launch);
  EXPECT_EQ(launch->rank, 3);
  EXPECT_EQ(launch->local_rank, 1);
  EXPECT_EQ(launch->world_size, 4);
  EXPECT_EQ(launch->host, "gpu7");
  EXPECT_EQ(launch->port, 12345);
  EXPECT_EQ(launch->attempt, "abc/2");
  EXPECT_TRUE(launch->agent_store);
}

TEST(Launch, SlurmNamesNoMaster) {
  const std::map<std::string, std::string> job = {{"SLURM_PROCID", "0"},
                                                  {"SLURM_LOCALID", "0"},
                                                  {"SLURM_STEP_NUM_TASKS", "2"},
                                                  {"SLURM_JOB_ID", "50007"},
                                                  {"SLURM_STEP_ID", "3"}};
  const std::map<std::string, std::string> first = {
      {"node[03-07,9],gpu1", "node03"}, {"node[3,5]", "node3"}, {"gpu1,node[1-2]", "gpu1"}, {"node12", "node12"}};
  for (const auto& [list, host] : first) {
    auto variables = job;
    variables["SLURM_STEP_NODELIST"] = list;
    const auto launch = launched_with(variables);
    ASSERT_TRUE(launch);
    EXPECT_EQ(launch->host, host) << list;
    EXPECT_EQ(launch->port, 10115);  // 10000 + (16 · job + step) mod 50000
    EXPECT_EQ(launch->attempt, "50007/0");
  }
}

// Of two tasks, without srun: the script itself is no task, and there is one of it.
TEST(Launch, ABatchScriptOfSlurmRunsAlone) {
  EXPECT_FALSE(launched_with({{"SLURM_PROCID", "0"}, {"SLURM_LOCALID", "0"}, {"SLURM_NTASKS", "2"}}));
  EXPECT_FALSE(launched_with({{"SLURM_PROCID", "0"}, {"SLURM_LOCALID", "0"}, {"SLURM_JOB_ID", "7"}}));
}

TEST(Launch, MpirunInAStepOfSlurm) {
  const auto launch = launched_with({{"OMPI_COMM_WORLD_RANK", "1"},
                                     {"OMPI_COMM_WORLD_LOCAL_RANK", "0"},
                                     {"OMPI_COMM_WORLD_SIZE", "2"},
                                     {"SLURM_STEP_ID", "0"},
                                     {"SLURM_STEP_NUM_TASKS", "1"},
                                     {"SLURM_PROCID", "0"},
                                     {"SLURM_LOCALID", "0"}});
  ASSERT_TRUE(launch);
  EXPECT_EQ(launch->world_size, 2);
}

TEST(Launch, Mpirun) {
  const auto launch = launched_with(
      {{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "2"}});
  ASSERT_TRUE(launch);
  EXPECT_EQ(launch->rank, 1);
  EXPECT_EQ(launch->host, "127.0.0.1");
}

TEST(Launch, IncompleteOrForeignVariables) {
  EXPECT_THAT(test::bad_request_of([] {
                launched_with({{"RANK", "0"}, {"LOCAL_RANK", "0"}});
              }),
              HasSubstr("torchrun sets RANK, but WORLD_SIZE is missing"));
  EXPECT_THAT(test::bad_request_of([] {
                launched_with({{"RANK", "x"}, {"LOCAL_RANK", "0"}, {"WORLD_SIZE", "2"}});
              }),
              HasSubstr("RANK must be a number, but is 'x'"));
  EXPECT_THAT(test::bad_request_of([] {
                launched_with({{"RANK", "2"}, {"LOCAL_RANK", "0"}, {"WORLD_SIZE", "2"}});
              }),
              HasSubstr("RANK = 2 must be below WORLD_SIZE = 2"));
}

TEST(GlooGroup, SumsGathersBroadcasts) {
  in_group(3, [](const Collective& group) {
    const auto rank = static_cast<double>(group.rank());
    Tensor sum = torch::full({2, 3}, rank + 1).t();  // not contiguous
    group.all_reduce_sum(sum);
    EXPECT_TRUE(torch::equal(sum, torch::full({3, 2}, 6.0)));
    // Rank r brings r rows: rank 0 brings none.
    const Tensor rows = group.all_gather(torch::full({group.rank(), 2}, rank));
    EXPECT_TRUE(torch::equal(rows, torch::tensor({{1.0, 1.0}, {2.0, 2.0}, {2.0, 2.0}}).to(rows.dtype())));
    Tensor value = torch::full({2}, rank);
    group.broadcast(value);
    EXPECT_TRUE(torch::equal(value, torch::zeros({2})));
  });
}

// method.md §2: the codes of W processes are those of one process with the joint batch, in double precision to the
// rounding of sums in another order.
TEST(GlooGroup, SinkhornCodesAreThoseOfTheJointBatch) {
  torch::manual_seed(1);
  const Tensor scores = torch::randn({16, 5}, torch::kDouble).tanh();
  const Tensor expected = nn::sinkhorn(scores, 0.05, 3, Collective());
  for (const int64_t processes : {2, 4}) {
    in_group(processes, [&](const Collective& group) {
      const int64_t share = 16 / processes, begin = group.rank() * share;
      const Tensor codes = nn::sinkhorn(scores.narrow(0, begin, share), 0.05, 3, group);
      EXPECT_LT((codes - expected.narrow(0, begin, share)).abs().max().item<double>(), 1e-12);
    });
  }
}

}  // namespace
}  // namespace ivory::train
