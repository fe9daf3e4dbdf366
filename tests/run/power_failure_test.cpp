// A power failure just after a part's record got its name: the disk may keep the old folder, without the record. The
// checkpoints must still be there.
#include <gmock/gmock.h>

#include "base/write_steps.h"
#include "plan/parsed_experiment.h"
#include "plan/places.h"
#include "run/run.h"
#include "support/quiet.h"

namespace ivory::experiment {
namespace {

namespace fs = std::filesystem;

class PowerFailure : public ParsedExperimentTest {
 protected:
  PowerFailure() : ParsedExperimentTest({"deepcluster_v2", "resnet"}) {}
  ~PowerFailure() override { base::write_observer() = {}; }

  ExitCode go() {
    return run(experiment_, registry_, "test", [](const Outcome&) { return std::string(); });
  }

  const test::Quiet quiet_;
  const config::Experiment experiment_ = points_of(scans_and_stage + R"(
steps = 2
batch_size = 4
[stage.views.slice]
crops = [{ count = 2, size = 16, scale = [0.4, 1.0] }]
)")
                                             .front();
};

TEST_F(PowerFailure, LeavesTheCheckpointsOfAPartWithoutARecord) {
  fs::path part;
  bool durable = false;
  base::write_observer() = [&](base::WriteStep step, const fs::path& file) {
    if (file.filename() != record_file) return;
    part = file.parent_path();
    if (step == base::WriteStep::durable) durable = true;
    if (step != base::WriteStep::renamed) return;
    EXPECT_FALSE(fs::is_empty(part / "checkpoints")) << "removed before the record is durable";
    fs::remove(file);  // as if the rename had never reached the disk
    throw run_failed("power failure");
  };
  EXPECT_EQ(go(), ExitCode::run_failed);
  EXPECT_FALSE(durable);
  ASSERT_FALSE(part.empty());
  EXPECT_FALSE(fs::is_empty(part / "checkpoints"));
  EXPECT_FALSE(fs::exists(part / record_file));

  base::write_observer() = {};
  EXPECT_EQ(go(), ExitCode::done) << "the next run continues";
  EXPECT_TRUE(fs::exists(part / record_file));
  EXPECT_FALSE(fs::exists(part / "checkpoints"));
}

}  // namespace
}  // namespace ivory::experiment
