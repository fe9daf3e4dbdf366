// Whole volumes of a downstream task, resampled to one size.
#include <ivory/random.h>

#include "data/labelled_recipes.h"
#include "data/volume_views.h"

namespace ivory::data {
namespace {

class LabelledVolumeRecipe : public Recipe<TaskBatch> {
 public:
  LabelledVolumeRecipe(std::shared_ptr<const DataSet> data, const LabelledSamples& samples,
                       const LoaderOptions& options)
      : data_(data),
        samples_(samples),
        options_(options),
        cache_(std::move(data), samples.size, options.volume_cache_mib << 20) {
    check_volume_samples(*data_, samples_);
    check_volume_views({.size = samples_.size});
    if (!samples_.classes.empty()) classes_.emplace(samples_.classes, samples_.overlapping);
    if (samples_.negatives > 0) by_label_.emplace(samples_.volume_labels, samples_.negatives);
  }

  int64_t batches() const override { return batch_count(by_label_ ? by_label_->count() : count(), options_); }
  std::vector<Draw> draws(int64_t epoch) const override {
    if (by_label_) return share(by_label_->draw(options_.seed, static_cast<uint64_t>(epoch)), options_);
    return share(epoch_order(count(), options_, epoch), options_);
  }
  int64_t bytes(int64_t samples) const override {
    return samples * voxels() * static_cast<int64_t>(sizeof(float) + (classes_ ? sizeof(int64_t) : 0));
  }

  TaskBatch allocate(std::span<const Draw> draws) const override {
    const auto batch_size = static_cast<int64_t>(draws.size());
    TaskBatch batch;
    const auto [slices, rows, columns] = samples_.size;
    batch.images = {.pixels = torch::empty({batch_size, 1, slices, rows, columns}), .place = empty_places(batch_size)};
    if (classes_) {
      batch.masks = torch::empty({batch_size, slices, rows, columns}, torch::kInt64);
    } else {
      batch.labels = torch::empty({batch_size}, torch::kInt64);
    }
    batch.volume = torch::empty({batch_size}, torch::kInt64);
    batch.position = torch::zeros({batch_size}, torch::kInt64);
    for (int64_t i = 0; i < batch_size; ++i) {
      const auto sample = static_cast<size_t>(draws[static_cast<size_t>(i)].sample);
      if (!classes_) batch.labels.data_ptr<int64_t>()[i] = samples_.volume_labels[sample];
      batch.volume.data_ptr<int64_t>()[i] = samples_.volumes[sample];
    }
    return batch;
  }

  void fill(TaskBatch& batch, int64_t position, const Draw& draw, int64_t epoch) const override {
    CounterRandom random(options_.seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(draw.sample),
                         view_stream(draw, 0));
    VolumeTransform transform;
    if (samples_.augment && !classes_) transform = draw_transform(random, mild_views());
    const int32_t id = samples_.volumes[static_cast<size_t>(draw.sample)];
    const auto volume = cache_.get(id);
    const VolumeJob job = volume_job(*volume, whole_box(volume->extent), transform, samples_.size, random);
    write_place(*volume, job, place_of(batch.images, position));
    render_volume(*volume, job, transform, random,
                  {batch.images.pixels.data_ptr<float>() + position * voxels(), static_cast<size_t>(voxels())});
    if (classes_) fill_masks(id, batch.masks.data_ptr<int64_t>() + position * voxels());
  }

 private:
  static VolumeViewSpec mild_views() {
    VolumeViewSpec views;
    views.anisotropy = views.noise = views.blur = views.bias_field = 0;
    return views;
  }
  void fill_masks(int64_t volume, int64_t* masks) const {
    const auto [slices, rows, columns] = samples_.size;
    for (int64_t slice = 0; slice < slices; ++slice) {
      read_mask(*data_, volume, slice_of_frame(slice, slices, data_->info(volume).slices), *classes_, rows, columns,
                masks + slice * rows * columns);
    }
  }
  int64_t count() const { return static_cast<int64_t>(samples_.volumes.size()); }
  int64_t voxels() const { return samples_.size[0] * samples_.size[1] * samples_.size[2]; }

  std::shared_ptr<const DataSet> data_;
  LabelledSamples samples_;
  LoaderOptions options_;
  mutable VolumeCache cache_;
  std::optional<ClassTable> classes_;     // of masks
  std::optional<LabelBalance> by_label_;  // where negatives are drawn
};

}  // namespace

TaskRecipe make_labelled_volumes(std::shared_ptr<const DataSet> data, const LabelledSamples& samples,
                                 const LoaderOptions& options) {
  return std::make_unique<LabelledVolumeRecipe>(std::move(data), samples, options);
}

}  // namespace ivory::data
