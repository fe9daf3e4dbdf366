#include "ingest/phantom.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <thread>

#include "config/layouts.h"

namespace ivory::ingest {
namespace {

using torch::Tensor;

config::PhantomSpec spec_of(const std::array<int64_t, 3>& size, std::vector<std::string> classes, uint64_t seed = 1) {
  std::vector<int64_t> labels(classes.size());
  std::iota(labels.begin(), labels.end(), 1);
  return {.size = size, .labels = labels, .classes = std::move(classes), .seed = seed};
}
config::VolumeSource volume(int64_t number, const std::string& modality) {
  return {.name = "phantom-00" + std::to_string(number), .modality = modality};
}
bool same(const LabelledScan& a, const LabelledScan& b) {
  return torch::equal(a.image.voxels, b.image.voxels) && torch::equal(a.labels, b.labels);
}
// Mean grey value where the label is `id`.
double mean_of(const LabelledScan& scan, int64_t id) {
  return scan.image.voxels.masked_select(scan.labels == id).to(torch::kDouble).mean().item<double>();
}
int64_t count_of(const LabelledScan& scan, int64_t id) {
  return (scan.labels == id).sum().item<int64_t>();
}

class PhantomOf : public ::testing::TestWithParam<const char*> {};

TEST_P(PhantomOf, IsTheSameBitsInAnyOrderAndThread) {
  const auto spec = spec_of({10, 32, 30}, {"lungs", "nodules"}, 7);
  std::vector<LabelledScan> in_order, at_once(4);
  for (int64_t i = 0; i < 4; ++i) in_order.push_back(make_phantom(spec, volume(i, GetParam())));
  std::vector<std::thread> threads;
  for (int64_t i = 3; i >= 0; --i)
    threads.emplace_back([&, i] { at_once[static_cast<size_t>(i)] = make_phantom(spec, volume(i, GetParam())); });
  for (auto& thread : threads) thread.join();
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(same(in_order[i], at_once[i])) << "volume " << i;
  EXPECT_FALSE(torch::equal(in_order[0].labels, in_order[1].labels)) << "patients differ";
  const auto other = make_phantom(spec_of({10, 32, 30}, {"lungs", "nodules"}, 8), volume(0, GetParam()));
  EXPECT_FALSE(torch::equal(in_order[0].labels, other.labels)) << "seeds differ";
}

TEST_P(PhantomOf, HasEveryLabelAtAnySize) {
  std::vector<int64_t> labels(config::phantom_classes().size() + 3);  // three organs without a name
  std::iota(labels.begin(), labels.end(), 11);
  for (const std::array<int64_t, 3>& size : {std::array<int64_t, 3>{8, 16, 16}, {12, 40, 40}, {8, 64, 20}}) {
    for (uint64_t seed = 0; seed < 10; ++seed) {
      // All at once in small volumes hide each other: one by one, and all where there is room.
      for (const auto& name : config::phantom_classes()) {
        const auto made = make_phantom(spec_of(size, {name}, seed), volume(0, GetParam()));
        EXPECT_GT(count_of(made, 1), 0) << name << " of seed " << seed << " in " << size[0] << " slices";
      }
    }
  }
  const auto made = make_phantom({.size = {32, 96, 96}, .labels = labels, .seed = 3}, volume(0, GetParam()));
  for (const int64_t id : labels) EXPECT_GT(count_of(made, id), 0) << "label " << id;
}

TEST_P(PhantomOf, LeavesLabelledStructuresOutOfVolumesBetween) {
  auto spec = spec_of({12, 40, 40}, {"nodules", "lesions"});
  spec.every = 2;
  for (int64_t i = 0; i < 4; ++i) {
    const auto made = make_phantom(spec, volume(i, GetParam()));
    for (const int64_t id : {1, 2}) EXPECT_EQ(count_of(made, id) > 0, i % 2 == 0) << "volume " << i << ", label " << id;
  }
}

TEST_P(PhantomOf, ClassesSayWhatALabelMarks) {
  const std::array<int64_t, 3> size = {16, 48, 48};
  const auto all = make_phantom({.size = size, .labels = {1, 2, 3, 4, 5, 6, 7, 8, 9}}, volume(0, GetParam()));
  auto spec = spec_of(size, {"nodules", "heart"});
  spec.labels = {70, 50};
  const auto two = make_phantom(spec, volume(0, GetParam()));
  EXPECT_TRUE(torch::equal(two.image.voxels, all.image.voxels)) << "labels change no voxel";
  EXPECT_TRUE(torch::equal(two.labels == 70, all.labels == 9));  // the last of phantom_classes()
  EXPECT_GT(count_of(two, 50), 0);
  EXPECT_EQ(count_of(two, 70) + count_of(two, 50) + count_of(two, 0), two.labels.numel());
}

INSTANTIATE_TEST_SUITE_P(Modalities, PhantomOf, ::testing::Values("ct", "mr", "xray"));

TEST(Phantom, ComputedTomographyIsInHounsfieldUnits) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const auto made =
        make_phantom(spec_of({24, 64, 64}, {"bone", "liver", "lungs", "nodules", "lesions"}, seed), volume(0, "ct"));
    EXPECT_EQ(made.image.voxels.sizes(), (std::vector<int64_t>{24, 64, 64}));
    const double bone = mean_of(made, 1), liver = mean_of(made, 2), lungs = mean_of(made, 3),
                 nodules = mean_of(made, 4);
    EXPECT_THAT(bone, testing::AllOf(testing::Gt(500), testing::Lt(800)));
    EXPECT_THAT(liver, testing::AllOf(testing::Gt(40), testing::Lt(130)));
    EXPECT_THAT(lungs, testing::AllOf(testing::Gt(-900), testing::Lt(-750)));
    EXPECT_GT(nodules, lungs + 500);
    EXPECT_LT(mean_of(made, 5), liver - 20) << "lesions are darker than their liver";
    const Tensor corner = made.image.voxels.slice(1, 0, 6).slice(2, 0, 6).to(torch::kDouble);
    EXPECT_NEAR(corner.mean().item<double>(), -1000, 10) << "air";
  }
}

// How far a structure's mean in the slices, which all have it, goes from its mean in the volume, relatively.
double drift(const LabelledScan& scan) {
  double most = 0;
  const double whole = mean_of(scan, 1);
  for (int64_t slice = 0; slice < scan.labels.size(0); ++slice) {
    const Tensor inside = scan.image.voxels[slice].masked_select(scan.labels[slice] == 1).to(torch::kDouble);
    most = std::max(most, std::abs(inside.mean().item<double>() / whole - 1));
  }
  return most;
}

TEST(Phantom, MagneticResonanceHasABiasFieldAndComputedTomographyNone) {
  double largest = 0;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    const auto spec = spec_of({24, 64, 64}, {"vessels"}, seed);
    largest = std::max(largest, drift(make_phantom(spec_of({24, 64, 64}, {"bone"}, seed), volume(0, "mr"))));
    EXPECT_LT(drift(make_phantom(spec_of({24, 64, 64}, {"bone"}, seed), volume(0, "ct"))), 0.08) << "seed " << seed;
    EXPECT_GE(make_phantom(spec, volume(0, "mr")).image.voxels.min().item<int64_t>(), 0) << "a magnitude";
  }
  // The field is exp(0.5 · waves): over the whole height it moves by tens of percent in most patients.
  EXPECT_GT(largest, 0.2);
}

TEST(Phantom, ARadiographIsOneSliceThroughTheSamePlacesAsItsScan) {
  const auto spec = spec_of({8, 96, 80}, {"lungs", "bone", "nodules"});
  const auto made = make_phantom(spec, volume(0, "xray"));
  EXPECT_EQ(made.image.voxels.sizes(), (std::vector<int64_t>{1, 96, 80}));
  EXPECT_EQ(made.image.modality, "xray");
  const Tensor picture = made.image.voxels[0].to(torch::kDouble);
  EXPECT_LT(picture.slice(1, 0, 2).mean().item<double>(), 60) << "beside the body: air, dark";
  const double spine = picture.slice(1, 38, 42).mean().item<double>();
  EXPECT_GT(spine, picture.slice(0, 20, 50).slice(1, 18, 24).mean().item<double>() + 300) << "bright beside a lung";
  // Lungs reach the top edge (superior), and end above the lower one.
  EXPECT_TRUE((made.labels[0].slice(0, 0, 30) == 1).any().item<bool>());
  EXPECT_FALSE((made.labels[0].slice(0, 90) == 1).any().item<bool>());
}

}  // namespace
}  // namespace ivory::ingest
