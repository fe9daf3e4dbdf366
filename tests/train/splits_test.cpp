// Shares by patient; patients and content that are in two splits of lists.
#include "train/splits.h"

#include <gmock/gmock.h>
#include <ivory/error.h>

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
  return make_splits(spec, patients(40), SampleKind::slice, trial_seed);
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

// Volumes p0 … p3: the first two are one patient's, and the last two have the same content.
std::vector<data::VolumeInfo> related() {
  auto volumes = patients(4);
  volumes[0].patient = volumes[1].patient = "ann";
  for (size_t i = 0; i < volumes.size(); ++i) volumes[i].content_hash = i < 2 ? std::to_string(i) : "same";
  return volumes;
}

config::SplitSpec lists(std::vector<std::string> train, std::vector<std::string> test, bool allowed) {
  config::SplitSpec spec;
  spec.train = std::move(train), spec.test = std::move(test);
  spec.allow_shared_patients = allowed;
  return spec;
}

TEST(Splits, APatientInTwoListsIsAMistakeUnlessAllowed) {
  const auto split = [](bool allowed) {
    return make_splits(lists({"p0"}, {"p1"}, allowed), related(), SampleKind::volume, 0);
  };
  EXPECT_THAT([&] { split(false); },
              testing::ThrowsMessage<Error>(testing::HasSubstr(
                  "patient 'ann' is in more than one split (train, test): scores say little about other patients; to "
                  "allow it, set allow_shared_patients = true in 'splits'")));
  EXPECT_THAT(split(true).warnings,
              testing::ElementsAre("patient 'ann' is in more than one split (train, test): scores say little about "
                                   "other patients"));
}

TEST(Splits, SlicesOfOneVolumeInTwoListsShareItsPatient) {
  EXPECT_THAT(
      [] { make_splits(lists({"p2:0-1"}, {"p2:2-2"}, false), related(), SampleKind::slice, 0); },
      testing::ThrowsMessage<Error>(testing::HasSubstr("patient 'p2' is in more than one split (train, test)")));
}

TEST(Splits, VolumesOfOnePatientInOneListAreFine) {
  EXPECT_THAT(make_splits(lists({"p0", "p1"}, {"p2"}, false), related(), SampleKind::volume, 0).warnings,
              testing::IsEmpty());
}

TEST(Splits, TheSameContentInDifferentListsIsNamed) {
  EXPECT_THAT(make_splits(lists({"p0", "p2"}, {"p3"}, false), related(), SampleKind::volume, 0).warnings,
              testing::ElementsAre("volumes with the same content are in different splits: 'p2' (train), 'p3' (test)"));
  EXPECT_THAT(make_splits(lists({"p2", "p3"}, {"p0"}, false), related(), SampleKind::volume, 0).warnings,
              testing::IsEmpty());
}

}  // namespace
}  // namespace ivory::train
