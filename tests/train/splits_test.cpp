// Shares by patient.
#include "train/splits.h"

#include <gmock/gmock.h>

#include <set>

namespace ivory::train {
namespace {

std::vector<data::VolumeInfo> patients(int64_t count) {
  std::vector<data::VolumeInfo> volumes(static_cast<size_t>(count));
  for (size_t i = 0; i < volumes.size(); ++i) {
    volumes[i].name = volumes[i].patient = "p" + std::to_string(i);
    volumes[i].slices = 3;
    volumes[i].has_labels = true;
  }
  return volumes;
}

Splits drawn(bool redraw, uint64_t trial_seed) {
  config::SplitSpec spec;
  spec.train_share = spec.validation_share = 0.1;
  spec.seed = 5;
  spec.redraw = redraw;
  return make_splits(spec, patients(40), TaskUnit::slice, trial_seed);
}

TEST(Splits, SharesAreTheSameInEveryTrialUnlessRedrawn) {
  EXPECT_EQ(drawn(false, 1).train.volumes, drawn(false, 2).train.volumes);
  EXPECT_NE(drawn(true, 1).train.volumes, drawn(true, 2).train.volumes);
  EXPECT_EQ(drawn(true, 1).test.volumes, drawn(true, 1).test.volumes);
}

TEST(Splits, RedrawnSharesStillDivideThePatients) {
  const Splits splits = drawn(true, 3);
  EXPECT_EQ(splits.train.volumes.size(), 4u);
  EXPECT_EQ(splits.validation.volumes.size(), 4u);
  EXPECT_EQ(splits.train.slices.size(), 12u);
  std::set<int32_t> all;
  for (const Split* split : {&splits.train, &splits.validation, &splits.test}) {
    all.insert(split->volumes.begin(), split->volumes.end());
  }
  EXPECT_EQ(all.size(), 40u) << "no patient in two splits, none left out";
}

}  // namespace
}  // namespace ivory::train
