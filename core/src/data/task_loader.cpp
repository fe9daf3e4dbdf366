#include <ivory/error.h>
#include <ivory/random.h>

#include "data/labelled_slice.h"
#include "data/prefetch.h"
#include "data/volume_render.h"

namespace ivory::data {
namespace {

void check_labels(const DataSet& data, int64_t volume) {
  IVORY_CHECK(data.info(volume).has_labels, "volume ", data.info(volume).name,
              " has no labels, expected them for every volume of a split with masks");
}

class LabelledSliceRecipe : public Recipe<TaskBatch> {
 public:
  LabelledSliceRecipe(std::shared_ptr<const DataSet> data, const LabelledSamples& samples, const LoaderOptions& options)
      : data_(std::move(data)), samples_(samples), options_(options), classes_(samples.classes) {
    IVORY_CHECK(!samples_.slices.empty(), "the split holds no slices, expected at least one");
    IVORY_CHECK(samples_.size > 0, "slices of ", samples_.size, " pixels, expected a positive number");
    for (const auto& [volume, slice] : samples_.slices) check_labels(*data_, volume);
    if (samples_.balanced) divide();
  }

  int64_t batches() const override { return batch_count(epoch_samples(), options_); }

  std::vector<Draw> draws(int64_t epoch) const override {
    if (samples_.balanced)
      return share(balance(with_target_, without_, options_.seed, static_cast<uint64_t>(epoch)), options_);
    return share(epoch_order(epoch_samples(), options_, epoch), options_);
  }

  int64_t bytes(int64_t samples) const override {
    return samples * samples_.size * samples_.size * static_cast<int64_t>(sizeof(float) + sizeof(int64_t));
  }

  TaskBatch allocate(std::span<const Draw> draws) const override {
    const auto count = static_cast<int64_t>(draws.size());
    TaskBatch batch;
    batch.images = torch::empty({count, 1, samples_.size, samples_.size});             // [B, 1, S, S]
    batch.masks = torch::empty({count, samples_.size, samples_.size}, torch::kInt64);  // [B, S, S]
    batch.volume = torch::empty({count}, torch::kInt64);
    batch.position = torch::empty({count}, torch::kInt64);
    for (int64_t i = 0; i < count; ++i) {
      const auto& [volume, slice] = samples_.slices[static_cast<size_t>(draws[static_cast<size_t>(i)].sample)];
      batch.volume.data_ptr<int64_t>()[i] = volume;
      batch.position.data_ptr<int64_t>()[i] = slice;
    }
    return batch;
  }

  void fill(TaskBatch& batch, int64_t position, const Draw& draw, int64_t epoch) const override {
    const auto& [volume, slice] = samples_.slices[static_cast<size_t>(draw.sample)];
    SliceAugmentation augmentation;
    if (samples_.augment) {
      CounterRandom random(options_.seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(draw.sample),
                           view_stream(draw, 0));
      augmentation = draw_augmentation(random);
    }
    const int64_t pixels = samples_.size * samples_.size;
    render_labelled_slice(*data_, volume, slice, classes_, augmentation, samples_.size,
                          batch.images.data_ptr<float>() + position * pixels,
                          batch.masks.data_ptr<int64_t>() + position * pixels);
  }

 private:
  int64_t epoch_samples() const {
    if (!samples_.balanced) return static_cast<int64_t>(samples_.slices.size());
    return static_cast<int64_t>(with_target_.size()) * (without_.empty() ? 1 : 2);
  }

  void divide() {
    for (size_t i = 0; i < samples_.slices.size(); ++i) {
      const auto& [volume, slice] = samples_.slices[i];
      (holds_target(*data_, volume, slice, classes_) ? with_target_ : without_).push_back(static_cast<int64_t>(i));
    }
    IVORY_CHECK(!with_target_.empty(), "none of the split's ", samples_.slices.size(),
                " slices holds a target, expected at least one for balanced training");
  }

  std::shared_ptr<const DataSet> data_;
  LabelledSamples samples_;
  LoaderOptions options_;
  ClassTable classes_;
  std::vector<int64_t> with_target_, without_;  // places in samples_.slices
};

class LabelledVolumeRecipe : public Recipe<TaskBatch> {
 public:
  LabelledVolumeRecipe(std::shared_ptr<const DataSet> data, const LabelledSamples& samples,
                       const LoaderOptions& options)
      : data_(data),
        samples_(samples),
        options_(options),
        cache_(std::move(data), samples.size, options.volume_cache_mib << 20) {
    IVORY_CHECK(!samples_.volumes.empty(), "the split holds no volumes, expected at least one");
    if (samples_.classes.empty()) {
      IVORY_CHECK(samples_.volume_labels.size() == samples_.volumes.size(), "the split has ",
                  samples_.volume_labels.size(), " labels, expected one for each of its ", samples_.volumes.size(),
                  " volumes");
    } else {
      classes_.emplace(samples_.classes);
      for (const int32_t volume : samples_.volumes) check_labels(*data_, volume);
    }
    IVORY_CHECK(samples_.size > 0 && samples_.frames > 0, "volumes of ", samples_.frames, " slices of ", samples_.size,
                " pixels, expected positive numbers");
  }

  int64_t batches() const override { return batch_count(count(), options_); }
  std::vector<Draw> draws(int64_t epoch) const override {
    return share(epoch_order(count(), options_, epoch), options_);
  }
  int64_t bytes(int64_t samples) const override {
    return samples * voxels() * static_cast<int64_t>(sizeof(float) + (classes_ ? sizeof(int64_t) : 0));
  }

  TaskBatch allocate(std::span<const Draw> draws) const override {
    const auto batch_size = static_cast<int64_t>(draws.size());
    TaskBatch batch;
    batch.images = torch::empty({batch_size, samples_.frames, 1, samples_.size, samples_.size});  // [B, F, 1, S, S]
    if (classes_) {
      batch.masks = torch::empty({batch_size, samples_.frames, samples_.size, samples_.size}, torch::kInt64);
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
    render_volume(*volume, transform, samples_.frames, samples_.size, random,
                  {batch.images.data_ptr<float>() + position * voxels(), static_cast<size_t>(voxels())});
    if (classes_) fill_masks(id, batch.masks.data_ptr<int64_t>() + position * voxels());
  }

 private:
  static VolumeViewSpec mild_views() {
    VolumeViewSpec views;
    views.anisotropy = views.noise = views.blur = views.bias_field = 0;
    return views;
  }
  void fill_masks(int64_t volume, int64_t* masks) const {
    for (int64_t frame = 0; frame < samples_.frames; ++frame) {
      read_mask(*data_, volume, slice_of_frame(frame, samples_.frames, data_->info(volume).slices), *classes_,
                samples_.size, masks + frame * samples_.size * samples_.size);
    }
  }
  int64_t count() const { return static_cast<int64_t>(samples_.volumes.size()); }
  int64_t voxels() const { return samples_.frames * samples_.size * samples_.size; }

  std::shared_ptr<const DataSet> data_;
  LabelledSamples samples_;
  LoaderOptions options_;
  mutable VolumeCache cache_;
  std::optional<ClassTable> classes_;  // of masks
};

}  // namespace

std::unique_ptr<BatchSource<TaskBatch>> make_task_loader(std::shared_ptr<const DataSet> data,
                                                         const LabelledSamples& samples, const LoaderOptions& options) {
  std::unique_ptr<const Recipe<TaskBatch>> recipe;
  if (samples.unit == TaskUnit::slice)
    recipe = std::make_unique<LabelledSliceRecipe>(std::move(data), samples, options);
  else
    recipe = std::make_unique<LabelledVolumeRecipe>(std::move(data), samples, options);
  return std::make_unique<Prefetcher<TaskBatch>>(std::move(recipe), options);
}

}  // namespace ivory::data
