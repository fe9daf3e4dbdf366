// Views made by kernels are those of the loaders that render on the CPU: the kernels' bodies in a loop, everywhere;
// the kernels themselves where there is a GPU.
#include "data/device_views.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "data/loader_fixtures.h"

namespace ivory::data {
namespace {

using namespace testing;

// Of views after the division by 0.25. Places are float32: 1e-5 of a pixel, where neighbours differ by up to 1.
constexpr double tolerance = 3e-4;
// Two numbers that differ by the tolerance may round to neighbouring bfloat16: 2^-7 of numbers below 4.
constexpr double bfloat16_step = 0.016;

class DeviceViews : public ::testing::Test {
 protected:
  DeviceViews() {
    write_cache(folder_.path(), {make_volume("a", {5, 40, 33}), make_volume("b", {4, 70, 64}, "uint8"),
                                 make_volume("c", {3, 33, 90}, "float32"), make_volume("d", {1, 50, 41}, "uint16")});
    data_ = open_data_set(folder_.path());
    slices_ = {.crops = {{2, 24, 0.3, 1, {}, 0.5}, {2, 17, 0.05, 0.3, 0.2, 0}}, .blur = 0.7};
    volumes_ = {.size = {7, 19, 23}, .anisotropy = 0.6, .noise = 0.6, .blur = 0.6, .bias_field = 0.6, .gamma = 0.6};
    cubes_ = volumes_;
    cubes_.extent = VolumeViewSpec::Extent::cube;
    cubes_.spacing = {0, 0.9, 0};
    cubes_.most_air = 0.5;
  }

  static void expect_same_views(BatchSource<Batch>& expected, BatchSource<Batch>& got, double limit) {
    ASSERT_EQ(expected.batches(), got.batches());
    int64_t views = 0;
    for (const int64_t epoch : {0, 1}) {
      expected.start(epoch, 0);
      got.start(epoch, 0);
      while (const auto batch = expected.next()) {
        const auto same = got.next();
        ASSERT_TRUE(same);
        ASSERT_EQ(batch->views.size(), same->views.size());
        EXPECT_TRUE(torch::equal(batch->index, same->index));
        for (size_t v = 0; v < batch->views.size(); ++v, ++views) {
          const Tensor &a = batch->views[v].pixels, b = same->views[v].pixels.cpu();
          ASSERT_EQ(a.sizes(), b.sizes());
          ASSERT_EQ(a.scalar_type(), b.scalar_type());
          EXPECT_LE((a.to(torch::kFloat32) - b.to(torch::kFloat32)).abs().max().item<double>(), limit)
              << "epoch " << epoch << ", view " << v;
          EXPECT_GT(b.to(torch::kFloat32).std().item<double>(), 0.05) << "a flat view shows nothing";
          EXPECT_TRUE(torch::equal(batch->views[v].place, same->views[v].place));
        }
      }
      EXPECT_FALSE(got.next());
    }
    EXPECT_GT(views, 0);
  }

  void expect_agreement(torch::Device device, const ViewKernels& kernels) const {
    for (const auto type : {torch::kFloat32, torch::kBFloat16}) {
      const LoaderOptions on_cpu{.batch_size = 3, .workers = 2, .drop_last = false, .type = type};
      LoaderOptions options = on_cpu;
      options.device = device;
      const double limit = type == torch::kFloat32 ? tolerance : bfloat16_step;
      for (const bool antialias : {true, false}) {
        const CropSampling sampling{.antialias = antialias};
        expect_same_views(*make_slice_loader(data_, slices_, on_cpu, sampling),
                          *make_device_slice_loader(data_, slices_, options, sampling, kernels), limit);
      }
      for (const VolumeViewSpec& views : {volumes_, cubes_})
        expect_same_views(*make_volume_loader(data_, views, on_cpu),
                          *make_device_volume_loader(data_, views, options, kernels), limit);
    }
  }

  using Tensor = torch::Tensor;
  TemporaryFolder folder_;
  std::shared_ptr<const DataSet> data_;
  SliceViewSpec slices_;
  VolumeViewSpec volumes_, cubes_;
};

TEST_F(DeviceViews, TheKernelsBodiesMakeTheViewsOfTheCpu) {
  expect_agreement(torch::kCPU, loop_kernels());
}

TEST_F(DeviceViews, TheKernelsMakeTheViewsOfTheCpu) {
  if (!std::filesystem::exists("/dev/nvidiactl")) GTEST_SKIP() << "no NVIDIA device on this machine";
  expect_agreement(torch::Device(torch::kCUDA, 0), device_kernels());
}

TEST_F(DeviceViews, AreTheSameForAnyNumberOfThreads) {
  const auto epoch = [&](int64_t workers, bool volumes) {
    const LoaderOptions options{.batch_size = 3, .workers = workers};
    return AnyLoader(volumes ? make_device_volume_loader(data_, volumes_, options, loop_kernels())
                             : make_device_slice_loader(data_, slices_, options, {}, loop_kernels()))
        .epoch(4);
  };
  for (const bool volumes : {false, true}) {
    const auto alone = epoch(0, volumes);
    EXPECT_TRUE(same(alone, epoch(1, volumes)));
    EXPECT_TRUE(same(alone, epoch(3, volumes)));
  }
}

TEST_F(DeviceViews, WhatIsHalfAsPreciseIsTheFloatRounded) {
  const auto views = [&](torch::ScalarType type, int kind) {
    const LoaderOptions options{.batch_size = 4, .type = type};
    switch (kind) {
      case 0:
        return AnyLoader(make_slice_loader(data_, slices_, options)).epoch(1);
      case 1:
        return AnyLoader(make_volume_loader(data_, volumes_, options)).epoch(1);
      case 4:
        return AnyLoader(make_volume_loader(data_, cubes_, options)).epoch(1);
      case 2:
        return AnyLoader(make_device_slice_loader(data_, slices_, options, {}, loop_kernels())).epoch(1);
      default:
        return AnyLoader(make_device_volume_loader(data_, volumes_, options, loop_kernels())).epoch(1);
    }
  };
  for (const int kind : {0, 1, 2, 3, 4}) {
    auto whole = views(torch::kFloat32, kind);
    for (Tensors& batch : whole)
      for (Tensor& part : batch)
        if (part.scalar_type() == torch::kFloat32) part = part.to(torch::kBFloat16);
    EXPECT_TRUE(same(whole, views(torch::kBFloat16, kind))) << "loader " << kind;
  }
}

TEST_F(DeviceViews, OtherTypesAreRefused) {
  EXPECT_ANY_THROW(make_slice_loader(data_, slices_, {.type = torch::kHalf}));
  EXPECT_ANY_THROW(make_volume_loader(data_, volumes_, {.type = torch::kInt}));
}

}  // namespace
}  // namespace ivory::data
