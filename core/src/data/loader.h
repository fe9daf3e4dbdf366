#pragma once
// Batches of views or of labelled samples from slice caches: worker threads, bounded prefetch, counter-based
// randomness. The same batches whatever the number of workers.

#include <ivory/sample.h>
#include <ivory/task.h>
#include <ivory/views.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/slice_cache.h"

namespace ivory::data {

// Several caches as one data set; volumes are numbered through. Volumes of one slice are images: they give slices, but
// are no samples of volumes.
struct DataSet {
  struct Volume {
    int64_t cache;
    int64_t volume;  // within the cache
  };
  std::vector<std::shared_ptr<const SliceCache>> caches;
  std::vector<Volume> volumes;
  std::vector<std::array<int32_t, 2>> slices;  // (volume, slice) by slice id
  std::vector<int32_t> stacks;                 // volumes of two or more slices, by the id of a sample of volumes

  explicit DataSet(std::vector<std::shared_ptr<const SliceCache>> caches);
  const VolumeInfo& info(int64_t volume) const;
  const SliceCache& cache(int64_t volume) const { return *caches[volumes[volume].cache]; }
  int64_t samples(SampleKind kind) const;
};

struct LoaderOptions {
  int64_t batch_size = 32;          // of this process
  int64_t workers = 1;              // 0: in the caller's thread
  int64_t prefetch_mib = 256;       // of finished and half-filled batches, at most 4 a worker; one is always allowed
  int64_t volume_cache_mib = 1024;  // of decoded volumes that the volume loaders keep
  uint64_t seed = 1;
  int64_t rank = 0, world_size = 1;
  bool shuffle = true;
  int64_t shuffle_volumes = 0;  // slice loaders on slow storage: volumes read at a time; 0: any slice may follow any
  // One per cache of the data set, > 0: with shuffle, an epoch of as many samples draws from each in proportion, and
  // goes through a cache's samples over the epochs as evenly as it can. Empty: every sample once. Of slice and volume
  // loaders.
  std::vector<double> cache_weights = {};
  bool drop_last = true;   // a data set smaller than one batch is repeated to fill it
  bool fill_last = false;  // instead of dropping: the last batch is filled up with the epoch's first samples
  // Of slice and volume loaders: where views are rendered and stay, and their type, float32 or bfloat16. On a CUDA
  // device next() renders, on the caller's current stream, what the workers read.
  torch::Device device = torch::kCPU;
  torch::ScalarType type = torch::kFloat32;
  // Of slice and volume loaders that render on the CPU: called by the workers for each sample, several at once; its
  // tensors become Batch::prepared. Their shapes and types are those of every sample.
  std::function<std::vector<torch::Tensor>(const Sample&)> prepare = nullptr;
};

// How crops of a slice are drawn and resampled.
struct CropSampling {
  double aspect = 4.0 / 3.0;  // width / height is log-uniform in [1 / aspect, aspect]
  bool antialias = true;      // a triangle filter as wide as the shrinking factor, else two taps
};

// An endless source that is addressed by (epoch, batch). W processes with batches of B see, joined in the order of
// their ranks, the batches of one process with W·B.
template <class T>
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual int64_t batches() const = 0;                         // per epoch
  virtual void start(int64_t epoch, int64_t first_batch) = 0;  // discards what was prefetched
  // Empty at the end of the epoch. Throws what went wrong while this batch was made.
  virtual std::optional<T> next() = 0;
  virtual int64_t queued_bytes() const = 0;  // of batches made ahead of next()
  // What the data did not allow so far, a sentence each, for the log: volumes that were padded, cubes full of air.
  virtual std::vector<std::string> remarks() const { return {}; }
};

std::unique_ptr<BatchSource<Batch>> make_slice_loader(std::shared_ptr<const DataSet> data, const SliceViewSpec& views,
                                                      const LoaderOptions& options, const CropSampling& sampling = {});
std::unique_ptr<BatchSource<Batch>> make_volume_loader(std::shared_ptr<const DataSet> data, const VolumeViewSpec& views,
                                                       const LoaderOptions& options);

// One labelled sample list of a split. Slices and their masks come at H × W, H = W (masks by the nearest label id), so
// predictions are merged to volumes, and scored, at that size. With shuffle and drop_last off every sample comes once,
// in order. An epoch of balanced training has every slice with target once and as many without.
// A volume comes with its class, or with masks where `classes` are given: resampled to `size`, and then not augmented;
// or as cubes, `count` of each volume in an epoch, of which half have their centre in a target when balanced; or, for
// evaluation, as it is at the cubes' spacing, in batches of one.
struct LabelledSamples {
  SampleKind unit = SampleKind::slice;
  std::vector<std::array<int32_t, 2>> slices;  // (volume, slice); units of slices, which need masks
  std::vector<int32_t> volumes;                // units of volumes
  std::vector<std::vector<int64_t>> classes;   // label ids of class 1, 2, …; 0 is everything else
  std::vector<int64_t> volume_labels;          // class of each volume in `volumes`, without `classes`
  bool balanced = false;                       // training: slices, or centres of cubes, with and without target 1:1
  bool augment = false;  // training: flip, small rotation, scale and intensity; of cubes, what `cubes` says
  std::array<int64_t, 3> size = {64, 224, 224};  // voxels of a sample that is no cube: D (of volumes), H, W
  std::optional<VolumeViewSpec> cubes = {};      // units of volumes
  bool whole = false;                            // with `cubes`: evaluation, whole volumes
  bool boxes = false;                            // units of slices: with the boxes of their findings instead of masks
  double repeat_below = 0;                       // training with boxes: TaskNeeds'
  bool overlapping = false;                      // masks of classes that share label ids: TaskNeeds'
  double negatives = 0;                          // training with labels: TaskNeeds'
};
std::unique_ptr<BatchSource<TaskBatch>> make_task_loader(std::shared_ptr<const DataSet> data,
                                                         const LabelledSamples& samples, const LoaderOptions& options);

}  // namespace ivory::data
