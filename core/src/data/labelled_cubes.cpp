// Cubes of volumes with their masks for training a downstream task; whole volumes at the cubes' spacing for its
// evaluation.
#include <ivory/error.h>
#include <ivory/random.h>

#include "data/label_volume.h"
#include "data/labelled_recipes.h"
#include "data/volume_views.h"

namespace ivory::data {
namespace {

class LabelledCubeRecipe : public Recipe<TaskBatch> {
 public:
  LabelledCubeRecipe(std::shared_ptr<const DataSet> data, const LabelledSamples& samples, const LoaderOptions& options)
      : data_(data),
        samples_(samples),
        options_(options),
        views_(*samples.cubes),
        cubes_(std::move(data), as_cubes(views_, samples), samples.volumes) {
    check_volume_samples(*data_, samples_);
    if (!samples_.classes.empty()) classes_.emplace(samples_.classes, samples_.overlapping);
    if (samples_.balanced && !samples_.whole) find_targets();
  }

  int64_t batches() const override { return batch_count(count(), options_); }
  std::vector<Draw> draws(int64_t epoch) const override {
    return share(epoch_order(count(), options_, epoch), options_);
  }
  int64_t bytes(int64_t samples) const override {
    int64_t most = 0;
    for (const int32_t volume : samples_.volumes) most = std::max(most, voxels(size_of(volume)));
    return samples * most * static_cast<int64_t>(sizeof(float) + (classes_ ? sizeof(int64_t) : 0));
  }

  TaskBatch allocate(std::span<const Draw> draws) const override {
    const int64_t batch_size = std::ssize(draws);
    const auto [slices, rows, columns] = size_of(volume_of(draws.front()));
    TaskBatch batch;
    batch.images = {.pixels = torch::empty({batch_size, 1, slices, rows, columns}), .place = empty_places(batch_size)};
    if (classes_)
      batch.masks = torch::empty({batch_size, slices, rows, columns}, torch::kInt64);
    else
      batch.labels = torch::empty({batch_size}, torch::kInt64);
    batch.volume = torch::empty({batch_size}, torch::kInt64);
    batch.position = torch::zeros({batch_size}, torch::kInt64);
    for (int64_t i = 0; i < batch_size; ++i) {
      const Draw& draw = draws[static_cast<size_t>(i)];
      if (!classes_) batch.labels.data_ptr<int64_t>()[i] = samples_.volume_labels[place_of_volume(draw)];
      batch.volume.data_ptr<int64_t>()[i] = volume_of(draw);
    }
    return batch;
  }

  void fill(TaskBatch& batch, int64_t position, const Draw& draw, int64_t epoch) const override {
    thread_local GreyVolume kept;
    GreyVolume once;  // whole volumes are large: their memory is given back
    GreyVolume& part = samples_.whole ? once : kept;
    CounterRandom random = stream(options_.seed, draw, epoch);
    VolumeTransform transform;
    if (samples_.augment && !samples_.whole) transform = draw_transform(random, views_);
    const VolumeBox box = read(draw, epoch, transform, part);
    const Extent size = size_of(volume_of(draw));
    const VolumeJob job = volume_job(part, within(part, box), transform, size, random);
    write_place(part, job, place_of(batch.images, position));
    const int64_t first = position * voxels(size);
    render_volume(part, job, transform, random,
                  std::span(batch.images.pixels.data_ptr<float>() + first, static_cast<size_t>(voxels(size))),
                  /*exact=*/true);
    if (classes_)
      render_mask(*data_, volume_of(draw), *classes_, stored_place(part, job), size,
                  batch.masks.data_ptr<int64_t>() + first);
  }

  std::vector<std::string> remarks() const override {
    return samples_.whole ? std::vector<std::string>() : cubes_.remarks();
  }

 private:
  // A volume that is taken whole may be smaller than a cube.
  static VolumeViewSpec as_cubes(VolumeViewSpec views, const LabelledSamples& samples) {
    views.extent = VolumeViewSpec::Extent::cube;
    views.pad = views.pad || samples.whole;
    return views;
  }
  static int64_t voxels(const Extent& size) { return size[0] * size[1] * size[2]; }

  int64_t count() const { return std::ssize(samples_.volumes) * (samples_.whole ? 1 : views_.count); }
  size_t place_of_volume(const Draw& draw) const {
    return static_cast<size_t>(samples_.whole ? draw.sample : draw.sample / views_.count);
  }
  int32_t volume_of(const Draw& draw) const { return samples_.volumes[place_of_volume(draw)]; }
  Extent size_of(int32_t volume) const { return samples_.whole ? cubes_.grid(volume).whole_size() : views_.size; }
  CounterRandom stream(uint64_t seed, const Draw& draw, int64_t epoch) const {
    return {seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(draw.sample), view_stream(draw, 0)};
  }

  void find_targets() {
    IVORY_CHECK(classes_, "cubes are balanced by their masks, but the task has no classes");
    bool any = false;
    for (const int32_t volume : samples_.volumes) {
      targets_.emplace_back(*data_, volume, *classes_);
      any = any || targets_.back().voxels() > 0;
    }
    IVORY_CHECK(any, "none of the split's ", samples_.volumes.size(),
                " volumes holds a target, expected at least one for balanced training");
  }

  // Every second cube of a volume and of an epoch has its centre in a target, where the volume holds one.
  bool is_about_target(const Draw& draw, int64_t epoch) const {
    const int64_t place = static_cast<int64_t>(place_of_volume(draw)), copy = draw.sample % views_.count;
    return !targets_.empty() && targets_[static_cast<size_t>(place)].voxels() > 0 && (place + copy + epoch) % 2 == 0;
  }

  // Returns what the sample shows of its volume, and reads that.
  VolumeBox read(const Draw& draw, int64_t epoch, const VolumeTransform& transform, GreyVolume& part) const {
    const int32_t volume = volume_of(draw);
    const CubeGrid grid = cubes_.grid(volume);
    CounterRandom places = stream(mix(options_.seed, cube_stream), draw, epoch);
    if (!samples_.whole && !is_about_target(draw, epoch))
      return cubes_
          .draw(
              volume, transform, [&] { return cubes_.place(volume, nullptr, places); }, part)
          .box;
    const VolumeBox box =
        samples_.whole ? grid.whole() : grid.around(targets_[place_of_volume(draw)].draw(*data_, *classes_, places));
    cubes_.read(volume, box, transform, size_of(volume), part);
    return box;
  }

  std::shared_ptr<const DataSet> data_;
  LabelledSamples samples_;
  LoaderOptions options_;
  VolumeViewSpec views_;
  CubeReader cubes_;
  std::optional<ClassTable> classes_;  // of masks
  std::vector<TargetVoxels> targets_;  // by the place in samples_.volumes, when balanced
};

}  // namespace

TaskRecipe make_labelled_cubes(std::shared_ptr<const DataSet> data, const LabelledSamples& samples,
                               const LoaderOptions& options) {
  return std::make_unique<LabelledCubeRecipe>(std::move(data), samples, options);
}

}  // namespace ivory::data
