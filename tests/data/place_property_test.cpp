// Every view says where its voxels lie: a volume whose values are millimetres shows those of its place.
#include <gtest/gtest.h>

#include "data/loader_fixtures.h"
#include "data/view_math.h"

namespace ivory::data {
namespace {

using namespace testing;
using torch::Tensor;
using Extent = VolumeViewSpec::Extent;

constexpr double border = 20;  // mm around the volume that the window shows too

// The millimetres along `axis`, in a window that reaches beyond them.
VolumeData millimetres(const std::string& name, int64_t axis) {
  VolumeData volume = make_volume(name, {30, 90, 108}, "float32", false);
  std::array<int64_t, 3> shape = {1, 1, 1};
  shape[static_cast<size_t>(axis)] = -1;
  const double spacing = volume.info.spacing[static_cast<size_t>(axis)];
  const auto size = volume.pixels.size(axis);
  volume.pixels = (torch::arange(size, torch::kDouble) * spacing)
                      .view(shape)
                      .expand({30, 90, 108})
                      .to(torch::kFloat32)
                      .contiguous();
  volume.info.window = {-border, static_cast<double>(size - 1) * spacing + border};
  return volume;
}

class Places : public ::testing::Test {
 protected:
  Places() {
    for (const int64_t axis : {0, 1, 2}) volumes_.push_back(millimetres(std::string(1, "abc"[axis]), axis));
    write_cache(folder_.path(), volumes_);
    data_ = open_data_set(folder_.path());
  }

  // mm of all voxels of a view by its place: [3, D, H, W].
  static Tensor places(const View& view, int64_t sample) {
    const auto axis = [&](int64_t dim) { return torch::arange(view.pixels.size(dim), torch::kDouble); };
    const auto mesh = torch::meshgrid({axis(2), axis(3), axis(4)}, "ij");
    const Tensor voxels = torch::stack({mesh[0], mesh[1], mesh[2], torch::ones_like(mesh[0])}, -1);
    return voxels.matmul(view.place[sample].t()).permute({3, 0, 1, 2});
  }

  // `margin`: mm at the borders, where a ramp does not go on.
  void expect_own_places(const VolumeViewSpec& views, double margin) const {
    const auto loader = make_volume_loader(data_, views, {.batch_size = 3, .shuffle = false});
    int64_t compared = 0;
    for (int64_t epoch = 0; epoch < 6; ++epoch) {
      loader->start(epoch, 0);
      const Batch batch = *loader->next();
      for (const View& view : batch.views) {
        ASSERT_EQ(view.place.sizes(), (std::vector<int64_t>{3, 3, 4}));
        for (int64_t axis = 0; axis < 3; ++axis) {
          const auto& window = volumes_[static_cast<size_t>(axis)].info.window;
          const double range = window[1] - window[0];
          const Tensor at = places(view, axis)[axis];
          const Tensor inside = (at >= margin) & (at <= window[1] - border - margin);
          const Tensor expected = (at - window[0]) / range;
          const Tensor got = view.pixels[axis][0].to(torch::kDouble) * normal_deviation + normal_mean;
          EXPECT_LE((got - expected).abs().masked_select(inside).max().item<double>(), 1e-5) << "axis " << axis;
          compared += inside.sum().item<int64_t>();
        }
      }
    }
    EXPECT_GT(compared, 1000);
  }

  TemporaryFolder folder_;
  std::vector<VolumeData> volumes_;
  std::shared_ptr<const DataSet> data_;
};

// No change of the grey values.
VolumeViewSpec geometric(Extent extent, const std::array<int64_t, 3>& size) {
  return {.extent = extent, .size = size, .anisotropy = 0, .noise = 0, .blur = 0, .bias_field = 0, .gamma = 0};
}

TEST_F(Places, OfWholeVolumes) {
  expect_own_places(geometric(Extent::whole, {16, 60, 50}), 0.01);
}

TEST_F(Places, OfVolumesThatWereShrunkFirst) {
  expect_own_places(geometric(Extent::whole, {16, 40, 50}), 4);  // mm: the filter's reach; whole factors keep ramps
}

TEST_F(Places, OfVolumesWithThickerSlices) {
  VolumeViewSpec views = geometric(Extent::whole, {16, 60, 50});
  views.anisotropy = 1;
  expect_own_places(views, 6);  // half a thick slice
}

TEST_F(Places, OfCubes) {
  VolumeViewSpec views = geometric(Extent::cube, {10, 32, 24});
  expect_own_places(views, 0.01);
  views.spacing = {1.7, 0.6, 0.9};
  expect_own_places(views, 0.01);
  views.spacing = {3, 1.9, 2.6};
  expect_own_places(views, 6);
  views.spacing = {0, 0, 0};
  views.anisotropy = 1;
  expect_own_places(views, 12);
}

// A slice whose values are its rows, and one whose values are its columns: a crop shows those of its place.
TEST_F(Places, OfCropsOfSlices) {
  const SliceViewSpec views{.crops = {{1, 40, 0.2, 1}, {1, 24, 0.1, 0.5}}, .intensity = 0, .blur = 0};
  const auto loader = make_slice_loader(data_, views, {.batch_size = 90, .shuffle = false});
  int64_t mirrored = 0;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    loader->start(epoch, 0);
    const Batch batch = *loader->next();
    for (const View& view : batch.views) {
      ASSERT_EQ(view.place.sizes(), (std::vector<int64_t>{90, 2, 3}));
      const int64_t size = view.pixels.size(2);
      for (const int64_t axis : {1, 2}) {
        const auto& volume = volumes_[static_cast<size_t>(axis)].info;
        const double spacing = volume.spacing[static_cast<size_t>(axis)], range = volume.window[1] - volume.window[0];
        const double last = static_cast<double>(axis == 1 ? 89 : 107);
        const Tensor along = torch::arange(size, torch::kDouble);
        for (int64_t sample = 30 * axis; sample < 30 * axis + 30; ++sample) {
          const Tensor place = view.place[sample][axis - 1];
          const double step = place[axis - 1].item<double>(), first = place[2].item<double>();
          mirrored += axis == 2 && step < 0;
          const Tensor at = first + step * along;  // rows or columns
          const Tensor line =
              axis == 1 ? view.pixels[sample][0].select(1, size / 2) : view.pixels[sample][0].select(0, size / 2);
          const Tensor got = (line.to(torch::kDouble) * normal_deviation + normal_mean) * range + volume.window[0];
          // A filter as wide as the shrinking factor, whose weights at a crop's borders are one-sided. Over whole
          // pixels a triangle's centre is off by up to 0.086 of one.
          const Tensor inside =
              (at >= 2 * std::abs(step)) & (at <= last - 2 * std::abs(step)) & (along >= 2) & (along < size - 2);
          EXPECT_LE((got - at * spacing).abs().masked_select(inside).max().item<double>(), 0.09 * spacing) << sample;
        }
      }
    }
  }
  EXPECT_GT(mirrored, 50);
}

// Features of one cube, sampled at another one's voxels, are those of the same places.
TEST_F(Places, OverlappingCubesShowTheSamePlaces) {
  VolumeViewSpec views = geometric(Extent::cube, {12, 32, 24});
  views.overlap = 0.5;
  for (const std::array<double, 3>& spacing : {std::array{0.0, 0.0, 0.0}, std::array{2.0, 0.6, 0.9}}) {
    views.spacing = spacing;
    const auto loader = make_volume_loader(data_, views, {.batch_size = 3, .shuffle = false});
    for (int64_t epoch = 0; epoch < 6; ++epoch) {
      loader->start(epoch, 0);
      const Batch batch = *loader->next();
      const View &from = batch.views[0], &to = batch.views[1];
      const Tensor grid = grid_between(from, to);  // [B, D, H, W, 3]
      const Tensor sampled = torch::grid_sampler(from.pixels, grid, 0, 0, /*align_corners=*/false);
      // Between the centres of the outer voxels; and in the volume, beyond which a ramp does not go on.
      const Tensor size = torch::tensor({24.0, 32.0, 12.0});
      Tensor inside = (grid.abs() <= 1 - 1 / size).all(-1);
      for (int64_t sample = 0; sample < 3; ++sample) {
        const double last = volumes_[static_cast<size_t>(sample)].info.window[1] - border;
        for (const View* view : {&from, &to}) {
          const Tensor at = places(*view, sample)[sample];
          if (view == &to) inside[sample] &= (at >= 0.01) & (at <= last - 0.01);
        }
        const Tensor neighbours = torch::grid_sampler(places(from, sample)[sample].unsqueeze(0).unsqueeze(0),
                                                      grid[sample].unsqueeze(0).to(torch::kDouble), 0, 1, false)[0][0];
        inside[sample] &= (neighbours >= 3) & (neighbours <= last - 3);
      }
      ASSERT_GT(inside.sum().item<int64_t>(), 100) << "epoch " << epoch;
      EXPECT_LE((sampled - to.pixels).squeeze(1).abs().masked_select(inside).max().item<double>(), 2e-4);
    }
  }
}

}  // namespace
}  // namespace ivory::data
