#include "data/device_rendering.h"
#include "data/view_recipe.h"
#include "data/volume_views.h"

namespace ivory::data {
namespace {

class VolumeJobs : public ViewRecipe<UnmadeBatch, SampleKind::volume> {
 public:
  VolumeJobs(std::shared_ptr<const DataSet> data, const VolumeViewSpec& views, const LoaderOptions& options)
      : ViewRecipe(data, options), views_(std::move(data), views, options), most_values_(views_.most_values()) {}

  int64_t bytes(int64_t samples) const override {
    return samples * (most_values_ * static_cast<int64_t>(sizeof(float)) +
                      views_.spec().count * static_cast<int64_t>(sizeof(VolumeJob)));
  }

  UnmadeBatch allocate(std::span<const Draw> draws) const override {
    const int64_t samples = std::ssize(draws), count = views_.spec().count;
    UnmadeBatch batch{.index = sample_ids(draws)};
    batch.volumes.resize(static_cast<size_t>(count * samples));
    batch.places = empty_places(count * samples).view({count, samples, 3, 4});
    batch.jobs = host_bytes(count * samples * static_cast<int64_t>(sizeof(VolumeJob)), options_.device);
    return batch;
  }

  void fill(UnmadeBatch& batch, int64_t position, const Draw& draw, int64_t epoch) const override {
    const int64_t samples = batch.index.size(0);
    views_.draw(draw, epoch, [&](DrawnView& view) {
      const int64_t place = view.number * samples + position;
      batch.volumes[static_cast<size_t>(place)] =
          view.kept ? view.kept : std::make_shared<const GreyVolume>(*view.volume);
      write_place(*view.volume, view.job, std::span<double, 12>(batch.places.data_ptr<double>() + 12 * place, 12));
      VolumeJob& job = reinterpret_cast<VolumeJob*>(batch.jobs.data_ptr())[place];
      job = view.job;
      job.out = place * views_.voxels();
    });
  }

  std::vector<std::string> remarks() const override { return views_.remarks(); }

 private:
  VolumeViews views_;
  int64_t most_values_;
};

// The batch's volumes behind one another, those that views share once; jobs learn where theirs lies.
torch::Tensor upload(const UnmadeBatch& unmade, torch::Device device) {
  const int64_t samples = unmade.index.size(0), count = std::ssize(unmade.volumes);
  auto* jobs = reinterpret_cast<VolumeJob*>(unmade.jobs.data_ptr());
  const auto volume = [&](int64_t i) { return unmade.volumes[static_cast<size_t>(i)].get(); };
  const auto is_shared = [&](int64_t i) { return i >= samples && volume(i) == volume(i % samples); };
  int64_t values = 0;
  for (int64_t i = 0; i < count; ++i) {
    jobs[i].voxels = is_shared(i) ? jobs[i % samples].voxels : values;
    if (!is_shared(i)) values += std::ssize(volume(i)->voxels);
  }
  const torch::Tensor all = torch::empty({values}, torch::TensorOptions(torch::kFloat32).device(device));
  for (int64_t i = 0; i < count; ++i) {
    if (is_shared(i)) continue;
    const int64_t size = std::ssize(volume(i)->voxels);
    all.narrow(0, jobs[i].voxels, size).copy_(torch::from_blob(const_cast<float*>(volume(i)->voxels.data()), {size}));
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
    const auto [slices, rows, columns] = views.size;
    const torch::Tensor voxels = upload(unmade, options.device);
    const torch::Tensor jobs = unmade.jobs.to(options.device, /*non_blocking=*/true);
    const ViewRoom room(count * slices * rows * columns, options);
    kernels.volumes(options.device.index(), reinterpret_cast<const VolumeJob*>(jobs.data_ptr()), count, slices,
                    voxels.data_ptr<float>(), normal.data_ptr<float>(), room.target());
    const torch::Tensor all = room.out.view({views.count, samples, 1, slices, rows, columns});
    Batch batch{.kind = SampleKind::volume, .views = {}, .index = unmade.index};
    for (int64_t i = 0; i < views.count; ++i)
      batch.views.push_back({.pixels = all[i], .place = unmade.places[i]});  // [B, 1, D, H, W] each
    return batch;
  };
  return std::make_unique<RenderedBatches>(std::make_unique<VolumeJobs>(std::move(data), views, options), options,
                                           render);
}

}  // namespace ivory::data
