// How far a part is, by what lies in its folder.
#include "plan/node_state.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/lock.h"
#include "data/cache_fixtures.h"
#include "plan/small_experiment.h"
#include "train/checkpoint.h"

namespace {

using namespace ivory::experiment;
namespace base = ivory::base;

// stages slices and volumes; tasks from volumes and from scratch, two trials each
class NodeStateTest : public testing::Test {
 protected:
  NodeStateTest() : experiment_(ivory::test::small_experiment()) {
    for (auto& stage : experiment_.stages) stage.train.epochs = 100;
    plan_ = make_plan(experiment_, {{"scans", "abc"}});
    for (const Node& node : plan_.nodes) base::require_writable(store_.folder(node));
  }
  ivory::train::CheckpointStore checkpoints(const Node& node) const {
    return {store_.folder(node) / "checkpoints", node.identity, 1};
  }

  ivory::data::testing::TemporaryFolder folder_;
  ivory::config::Experiment experiment_;
  Plan plan_;
  const Store store_{folder_.path()};
};

TEST_F(NodeStateTest, AnInterruptedPartSaysWhereItGoesOn) {
  const Node& node = plan_.nodes[0];
  checkpoints(node).save({.step = 14, .state = {{"epoch", 2}}, .weights = {}, .extra = {}, .path = {}}, false);
  const NodeStatus status = status_of(node, store_);
  EXPECT_EQ(status.state, NodeState::interrupted);
  EXPECT_EQ(status.reason, "saved at step 14, after 2 of 100 epochs: it goes on from there");
}

TEST_F(NodeStateTest, OneThatHasNotSavedBeginsAnew) {
  const Node& node = plan_.nodes[0];
  (void)checkpoints(node);
  EXPECT_EQ(status_of(node, store_).state, NodeState::interrupted);
  EXPECT_EQ(status_of(node, store_).reason, "nothing was saved: it begins anew");
}

TEST_F(NodeStateTest, OnlyWhatFailedAndIsNotRunAgainIsAFailure) {
  for (size_t i = 0; i < 3; ++i) store_.write_failure(plan_.nodes[i], "diverged", ivory::ExitCode::run_failed);
  store_.write_record(plan_.nodes[1], {{"identity", plan_.nodes[1].identity}});
  const base::FolderLock again(store_.folder(plan_.nodes[2]));
  EXPECT_EQ(failures_of(plan_, store_), (std::map<std::string, std::string>{{"stage slices", "diverged"}}));
}

}  // namespace
