#include "data/device_rendering.h"
#include "data/view_recipe.h"
#include "data/volume_render.h"

namespace ivory::data {
namespace {

class VolumeJobs : public ViewRecipe<UnmadeBatch, SampleKind::volume> {
 public:
  VolumeJobs(std::shared_ptr<const DataSet> data, const VolumeViewSpec& views, const LoaderOptions& options)
      : ViewRecipe(std::move(data), options), views_(views), cache_(data_, views.size, options.volume_cache_mib << 20) {
    check_volume_views(views_);
    for (const int32_t volume : data_->stacks) {
      const auto [slices, rows, columns] = shrunk_extent(data_->info(volume), views_.size);
      largest_ = std::max(largest_, slices * rows * columns * static_cast<int64_t>(sizeof(float)));
    }
  }

  int64_t bytes(int64_t samples) const override {
    return samples * (largest_ + views_.count * static_cast<int64_t>(sizeof(VolumeJob)));
  }

  UnmadeBatch allocate(std::span<const Draw> draws) const override {
    UnmadeBatch batch{.index = sample_ids(draws)};
    batch.volumes.resize(draws.size());
    batch.jobs =
        host_bytes(views_.count * std::ssize(draws) * static_cast<int64_t>(sizeof(VolumeJob)), options_.device);
    return batch;
  }

  void fill(UnmadeBatch& batch, int64_t position, const Draw& draw, int64_t epoch) const override {
    const auto volume = cache_.get(data_->stacks[static_cast<size_t>(draw.sample)]);
    batch.volumes[static_cast<size_t>(position)] = volume;
    const int64_t samples = batch.index.size(0), voxels = views_.frames * views_.size * views_.size;
    auto* jobs = reinterpret_cast<VolumeJob*>(batch.jobs.data_ptr());
    for (int64_t view = 0; view < views_.count; ++view) {
      CounterRandom random = stream(draw, static_cast<size_t>(view), epoch);
      const VolumeTransform transform = draw_transform(random, views_);
      VolumeJob& job = jobs[view * samples + position];
      job = volume_job(*volume, transform, views_.frames, views_.size, random);
      job.out = (view * samples + position) * voxels;
    }
  }

 private:
  VolumeViewSpec views_;
  mutable VolumeCache cache_;
  int64_t largest_ = 0;  // bytes of a volume
};

// The batch's volumes behind one another; jobs learn where theirs lies.
torch::Tensor upload(const UnmadeBatch& unmade, torch::Device device) {
  const auto samples = std::ssize(unmade.volumes);
  int64_t voxels = 0;
  for (const auto& volume : unmade.volumes) voxels += std::ssize(volume->voxels);
  const torch::Tensor all = torch::empty({voxels}, torch::TensorOptions(torch::kFloat32).device(device));
  auto* jobs = reinterpret_cast<VolumeJob*>(unmade.jobs.data_ptr());
  const int64_t count = unmade.jobs.numel() / static_cast<int64_t>(sizeof(VolumeJob));
  int64_t first = 0;
  for (int64_t i = 0; i < samples; ++i) {
    const GreyVolume& volume = *unmade.volumes[static_cast<size_t>(i)];
    const int64_t size = std::ssize(volume.voxels);
    all.narrow(0, first, size).copy_(torch::from_blob(const_cast<float*>(volume.voxels.data()), {size}));
    for (int64_t k = i; k < count; k += samples) jobs[k].voxels = first;
    first += size;
  }
  return all;
}

}  // namespace

std::unique_ptr<BatchSource<Batch>> make_device_volume_loader(std::shared_ptr<const DataSet> data,
                                                              const VolumeViewSpec& views, const LoaderOptions& options,
                                                              const ViewKernels& kernels) {
  const auto numbers = normal_numbers();
  const torch::Tensor normal =
      torch::from_blob(const_cast<float*>(numbers.data()), {std::ssize(numbers)}).to(options.device);
  const auto render = [views, options, kernels, normal](const UnmadeBatch& unmade) {
    const int64_t samples = unmade.index.size(0), count = views.count * samples;
    const torch::Tensor voxels = upload(unmade, options.device);
    const torch::Tensor jobs = unmade.jobs.to(options.device, /*non_blocking=*/true);
    const ViewRoom room(count * views.frames * views.size * views.size, options);
    kernels.volumes(options.device.index(), reinterpret_cast<const VolumeJob*>(jobs.data_ptr()), count, views.frames,
                    voxels.data_ptr<float>(), normal.data_ptr<float>(), room.target());
    const torch::Tensor all = room.out.view({views.count, samples, views.frames, 1, views.size, views.size});
    return Batch{.kind = SampleKind::volume, .views = all.unbind(), .index = unmade.index};  // [B, F, 1, S, S] each
  };
  return std::make_unique<RenderedBatches>(std::make_unique<VolumeJobs>(std::move(data), views, options), options,
                                           render);
}

}  // namespace ivory::data
