#include "data/view_recipe.h"
#include "data/volume_render.h"

namespace ivory::data {
namespace {

class VolumeRecipe : public ViewRecipe<Batch, SampleKind::volume> {
 public:
  VolumeRecipe(std::shared_ptr<const DataSet> data, const VolumeViewSpec& views, const LoaderOptions& options)
      : ViewRecipe(std::move(data), options), views_(views), cache_(data_, views.size, options.volume_cache_mib << 20) {
    check_volume_views(views_);
  }

  int64_t bytes(int64_t samples) const override {
    return samples * views_.count * voxels() * static_cast<int64_t>(c10::elementSize(options_.type));
  }

  Batch allocate(std::span<const Draw> draws) const override {
    const auto count = static_cast<int64_t>(draws.size());
    Batch batch{.kind = SampleKind::volume, .views = {}, .index = sample_ids(draws)};
    for (int64_t i = 0; i < views_.count; ++i)
      batch.views.push_back(
          torch::empty({count, views_.frames, 1, views_.size, views_.size}, options_.type));  // [B, F, 1, S, S]
    return batch;
  }

  void fill(Batch& batch, int64_t position, const Draw& draw, int64_t epoch) const override {
    const auto volume = cache_.get(data_->stacks[static_cast<size_t>(draw.sample)]);
    for (size_t view = 0; view < batch.views.size(); ++view) {
      CounterRandom random = stream(draw, view, epoch);
      const VolumeTransform transform = draw_transform(random, views_);
      const torch::Tensor& into = batch.views[view];
      const auto count = static_cast<size_t>(voxels());
      const auto render = [&](auto* out) {
        render_volume(*volume, transform, views_.frames, views_.size, random, std::span(out, count));
      };
      if (options_.type == torch::kFloat32)
        render(into.data_ptr<float>() + position * voxels());
      else
        render(static_cast<uint16_t*>(into.data_ptr()) + position * voxels());
    }
  }

 private:
  int64_t voxels() const { return views_.frames * views_.size * views_.size; }

  VolumeViewSpec views_;
  mutable VolumeCache cache_;
};

}  // namespace

std::unique_ptr<BatchSource<Batch>> make_volume_loader(std::shared_ptr<const DataSet> data, const VolumeViewSpec& views,
                                                       const LoaderOptions& options) {
  if (options.device.is_cuda()) return make_device_volume_loader(std::move(data), views, options, device_kernels());
  return std::make_unique<Prefetcher<Batch>>(std::make_unique<VolumeRecipe>(std::move(data), views, options), options);
}

}  // namespace ivory::data
