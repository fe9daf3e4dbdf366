#include <ivory/error.h>
#include <ivory/random.h>

#include "data/labelled_recipes.h"

namespace ivory::data {
namespace {

class LabelledSliceRecipe : public Recipe<TaskBatch> {
 public:
  LabelledSliceRecipe(std::shared_ptr<const DataSet> data, const LabelledSamples& samples, const LoaderOptions& options)
      : data_(std::move(data)), samples_(samples), options_(options), classes_(samples.classes, samples.overlapping) {
    IVORY_CHECK(!samples_.slices.empty(), "the split holds no slices, expected at least one");
    const auto [slices, rows, columns] = samples_.size;
    IVORY_CHECK(rows > 0 && rows == columns, "slices of ", rows, " x ", columns,
                " pixels, expected a positive number, twice the same");
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
    return samples * size() * size() * static_cast<int64_t>(sizeof(float) + sizeof(int64_t));
  }

  TaskBatch allocate(std::span<const Draw> draws) const override {
    const auto count = static_cast<int64_t>(draws.size());
    TaskBatch batch;
    batch.images.pixels = torch::empty({count, 1, size(), size()});      // [B, 1, S, S]
    batch.masks = torch::empty({count, size(), size()}, torch::kInt64);  // [B, S, S]
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
    const int64_t pixels = size() * size();
    render_labelled_slice(*data_, volume, slice, classes_, augmentation, size(),
                          batch.images.pixels.data_ptr<float>() + position * pixels,
                          batch.masks.data_ptr<int64_t>() + position * pixels);
  }

 private:
  int64_t size() const { return samples_.size[1]; }
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

}  // namespace

TaskRecipe make_labelled_slices(std::shared_ptr<const DataSet> data, const LabelledSamples& samples,
                                const LoaderOptions& options) {
  return std::make_unique<LabelledSliceRecipe>(std::move(data), samples, options);
}

void check_labels(const DataSet& data, int64_t volume) {
  IVORY_CHECK(data.info(volume).has_labels, "volume ", data.info(volume).name,
              " has no labels, expected them for every volume of a split with masks");
}

void check_volume_samples(const DataSet& data, const LabelledSamples& samples) {
  IVORY_CHECK(!samples.volumes.empty(), "the split holds no volumes, expected at least one");
  if (samples.classes.empty()) {
    IVORY_CHECK(samples.volume_labels.size() == samples.volumes.size(), "the split has ", samples.volume_labels.size(),
                " labels, expected one for each of its ", samples.volumes.size(), " volumes");
  } else {
    for (const int32_t volume : samples.volumes) check_labels(data, volume);
  }
}

std::unique_ptr<BatchSource<TaskBatch>> make_task_loader(std::shared_ptr<const DataSet> data,
                                                         const LabelledSamples& samples, const LoaderOptions& asked) {
  LoaderOptions options = asked;
  if (samples.unit == SampleKind::volume && samples.cubes && samples.whole)
    options.batch_size = 1;  // of their own sizes
  const auto make = samples.unit == SampleKind::slice ? (samples.boxes ? make_labelled_boxes : make_labelled_slices)
                    : samples.cubes                   ? make_labelled_cubes
                                                      : make_labelled_volumes;
  return std::make_unique<Prefetcher<TaskBatch>>(make(std::move(data), samples, options), options);
}

}  // namespace ivory::data
