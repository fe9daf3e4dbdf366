#include <ivory/error.h>
#include <ivory/random.h>

#include "data/prefetch.h"
#include "data/volume_render.h"

namespace ivory::data {
namespace {

class VolumeRecipe : public Recipe<Batch> {
 public:
  VolumeRecipe(std::shared_ptr<const DataSet> data, const VolumeViewSpec& views, const LoaderOptions& options)
      : data_(data),
        views_(views),
        options_(options),
        cache_(std::move(data), views.size, options.volume_cache_mib << 20) {
    check_draws(*data_, SampleKind::volume, options_);
    IVORY_CHECK(views_.frames > 0 && views_.size > 0, "volume views of ", views_.frames, " slices of ", views_.size,
                " pixels, expected positive numbers");
  }

  int64_t batches() const override { return batch_count(data_->samples(SampleKind::volume), options_); }

  std::vector<Draw> draws(int64_t epoch) const override {
    return epoch_draws(*data_, SampleKind::volume, options_, epoch);
  }

  int64_t bytes(int64_t samples) const override {
    return samples * views_.count * voxels() * static_cast<int64_t>(sizeof(float));
  }

  Batch allocate(std::span<const Draw> draws) const override {
    const auto count = static_cast<int64_t>(draws.size());
    Batch batch{.kind = SampleKind::volume, .views = {}, .index = sample_ids(draws)};
    for (int64_t i = 0; i < views_.count; ++i)
      batch.views.push_back(torch::empty({count, views_.frames, 1, views_.size, views_.size}));  // [B, F, 1, S, S]
    return batch;
  }

  void fill(Batch& batch, int64_t position, const Draw& draw, int64_t epoch) const override {
    const auto volume = cache_.get(data_->stacks[static_cast<size_t>(draw.sample)]);
    for (size_t view = 0; view < batch.views.size(); ++view) {
      CounterRandom random(options_.seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(draw.sample),
                           view_stream(draw, view));
      const VolumeTransform transform = draw_transform(random, views_);
      float* out = batch.views[view].data_ptr<float>() + position * voxels();
      render_volume(*volume, transform, views_.frames, views_.size, random, {out, static_cast<size_t>(voxels())});
    }
  }

 private:
  int64_t voxels() const { return views_.frames * views_.size * views_.size; }

  std::shared_ptr<const DataSet> data_;
  VolumeViewSpec views_;
  LoaderOptions options_;
  mutable VolumeCache cache_;
};

}  // namespace

std::unique_ptr<BatchSource<Batch>> make_volume_loader(std::shared_ptr<const DataSet> data, const VolumeViewSpec& views,
                                                       const LoaderOptions& options) {
  return std::make_unique<Prefetcher<Batch>>(std::make_unique<VolumeRecipe>(std::move(data), views, options), options);
}

}  // namespace ivory::data
