// Splits that no prediction could be scored on are found before anything is trained.
#include "train/ranked_split.h"

#include <gmock/gmock.h>

#include "data/cache_fixtures.h"

namespace ivory::train {
namespace {

using data::testing::make_volume;
using testing::AllOf;
using testing::HasSubstr;

// Volumes "a" and "b" of 5 slices, 12 × 10: ids 1, 2, 3 in a quarter of slices 1 and 3 each, nothing in the others.
class RankedSplit : public testing::Test {
 protected:
  RankedSplit() {
    data::testing::write_cache(folder_.path() / "cache", {make_volume("a", {}), make_volume("b", {})});
    data_ = data::testing::open_data_set(folder_.path() / "cache");
  }
  // Of these slices of "a".
  std::string of_slices(const std::vector<int32_t>& slices, int64_t from = 1, std::vector<int64_t> ids = {1}) const {
    data::LabelledSamples samples{.classes = {std::move(ids)}, .size = {1, 12, 10}};
    for (const int32_t slice : slices) samples.slices.push_back({0, slice});
    return unranked({.ranks_from = from}, *data_, samples, {{"organ", {1}}});
  }
  std::string of_labels(const std::vector<int64_t>& labels, bool every) const {
    const data::LabelledSamples samples{.unit = SampleKind::volume, .volume_labels = labels};
    return unranked({.unit = SampleKind::volume, .target = Target::label, .ranks_from = 1, .ranks_every_class = every},
                    *data_, samples, {{"none", {}}, {"small", {1}}, {"large", {2}}});
  }

  data::testing::TemporaryFolder folder_;
  std::shared_ptr<const data::DataSet> data_;
};

TEST_F(RankedSplit, SlicesWithAndWithoutTheClass) {
  struct Case {
    std::vector<int32_t> slices;
    int64_t from;
    bool defined;
  };
  const Case cases[] = {{{0, 1}, 1, true},   {{1, 3, 4}, 1, true}, {{0, 2, 4}, 1, false}, {{1, 3}, 1, false},
                        {{1}, 1, false},     {{0, 1}, 30, true},   {{0, 1}, 31, false},  // of 30 pixels
                        {{1, 3}, 31, false}, {{0, 1, 2}, 0, true}};                      // 0: scores are no ranks
  for (const Case& one : cases)
    EXPECT_EQ(of_slices(one.slices, one.from).empty(), one.defined) << one.slices.size() << " from " << one.from;
  EXPECT_EQ(of_slices({0, 2, 4}),
            "all of its 3 slices agree on every class ('organ'), so no AUC is defined; the split needs slices with and "
            "without");
}

TEST_F(RankedSplit, OneClassThatTellsSlicesApartIsEnough) {
  data::LabelledSamples samples{.classes = {{9}, {3}}, .size = {1, 12, 10}};  // no slice has an id of 9
  samples.slices = {{0, 0}, {0, 1}};
  const std::vector<config::ClassSpec> classes = {{"absent", {9}}, {"organ", {3}}};
  EXPECT_EQ(unranked({.ranks_from = 1}, *data_, samples, classes), "");
  samples.classes = {{9}, {8}};
  EXPECT_THAT(unranked({.ranks_from = 1}, *data_, samples, classes), HasSubstr("('absent', 'organ')"));
}

TEST_F(RankedSplit, FramesOfVolumesAreSamplesToo) {
  data::LabelledSamples samples{.unit = SampleKind::volume, .volumes = {0, 1}, .classes = {{1}}, .size = {5, 12, 10}};
  const TaskNeeds needs{.unit = SampleKind::volume, .ranks_from = 1};
  EXPECT_EQ(unranked(needs, *data_, samples, {{"organ", {1}}}), "");
  samples.size[0] = 1;  // the slice in the middle, which is empty
  EXPECT_THAT(unranked(needs, *data_, samples, {{"organ", {1}}}), HasSubstr("all of its 2 slices"));
}

TEST_F(RankedSplit, VolumesByTheirLabels) {
  EXPECT_EQ(of_labels({0, 1, 1}, false), "");
  EXPECT_EQ(of_labels({0, 1, 2}, true), "");
  EXPECT_THAT(of_labels({1, 1, 1}, false), AllOf(HasSubstr("all of its 3 volumes"), HasSubstr("no AUC")));
  EXPECT_THAT(of_labels({1, 1, 1}, true), HasSubstr("of class 'none', 'small', 'large'"));
  EXPECT_THAT(of_labels({0, 1, 1}, true), AllOf(HasSubstr("of its 3 volumes"), HasSubstr("of class 'large'")));
}

}  // namespace
}  // namespace ivory::train
