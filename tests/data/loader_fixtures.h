#pragma once
// Loaders of every kind behind one face, over a small data set: 12 slices in 3 volumes.

#include <functional>

#include "data/cache_fixtures.h"

namespace ivory::data::testing {

using Tensors = std::vector<torch::Tensor>;

// The views' pixels, their places where they have any, and last the samples.
inline Tensors tensors_of(const Batch& batch) {
  Tensors all = pixels_of(batch);
  for (const View& view : batch.views)
    if (view.place.defined()) all.push_back(view.place);
  all.push_back(batch.index);
  return all;
}

inline Tensors tensors_of(const TaskBatch& batch) {
  Tensors all;
  for (const torch::Tensor& part :
       {batch.images.pixels, batch.images.place, batch.masks, batch.labels, batch.volume, batch.position})
    if (part.defined()) all.push_back(part);
  return all;
}

class AnyLoader {
 public:
  template <class T>
  explicit AnyLoader(std::unique_ptr<BatchSource<T>> source) {
    const std::shared_ptr<BatchSource<T>> shared = std::move(source);
    batches = [shared] { return shared->batches(); };
    start = [shared](int64_t epoch, int64_t first) { shared->start(epoch, first); };
    queued_bytes = [shared] { return shared->queued_bytes(); };
    next = [shared]() -> std::optional<Tensors> {
      const auto batch = shared->next();
      return batch ? std::optional(tensors_of(*batch)) : std::nullopt;
    };
  }

  std::function<int64_t()> batches, queued_bytes;
  std::function<void(int64_t, int64_t)> start;
  std::function<std::optional<Tensors>()> next;

  std::vector<Tensors> rest() const {
    std::vector<Tensors> all;
    while (auto batch = next()) all.push_back(std::move(*batch));
    return all;
  }
  std::vector<Tensors> epoch(int64_t number, int64_t first = 0) const {
    start(number, first);
    return rest();
  }
};

inline bool same(const Tensors& a, const Tensors& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return torch::equal(x, y); });
}

inline bool same(const std::vector<Tensors>& a, const std::vector<Tensors>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) { return same(x, y); });
}

// The batches of several processes as one's.
inline Tensors joined(const std::vector<Tensors>& parts) {
  Tensors whole;
  for (size_t i = 0; i < parts.front().size(); ++i) {
    Tensors pieces;
    for (const Tensors& part : parts) pieces.push_back(part[i]);
    whole.push_back(torch::cat(pieces));
  }
  return whole;
}

// The ids of the samples, batch after batch.
inline std::vector<int64_t> indices(const std::vector<Tensors>& batches) {
  std::vector<int64_t> all;
  for (const Tensors& batch : batches) {
    const torch::Tensor& index = batch.back();
    all.insert(all.end(), index.data_ptr<int64_t>(), index.data_ptr<int64_t>() + index.numel());
  }
  return all;
}

inline void write_small_cache(const std::filesystem::path& folder) {
  write_cache(folder, {make_volume("a", {5, 12, 10}), make_volume("b", {4, 14, 14}), make_volume("c", {3, 9, 16})});
}

enum class Kind { slices, volumes, cubes, labelled_slices, labelled_volumes, labelled_cubes };

inline AnyLoader make_loader(Kind kind, const std::shared_ptr<const DataSet>& data, const LoaderOptions& options) {
  const SliceViewSpec slices{.crops = {{2, 8, 0.3, 1}, {1, 5, 0.1, 0.3}}};
  const VolumeViewSpec volumes{.size = {4, 8, 8}};
  const VolumeViewSpec cubes{
      .extent = VolumeViewSpec::Extent::cube, .size = {3, 6, 5}, .overlap = 0.3, .most_air = 0.9};
  LabelledSamples samples{.classes = {{1, 2}, {3}}, .augment = true, .size = {4, 8, 8}};
  switch (kind) {
    case Kind::slices:
      return AnyLoader(make_slice_loader(data, slices, options));
    case Kind::volumes:
      return AnyLoader(make_volume_loader(data, volumes, options));
    case Kind::cubes:
      return AnyLoader(make_volume_loader(data, cubes, options));
    case Kind::labelled_slices:
      samples.slices = data->slices;
      return AnyLoader(make_task_loader(data, samples, options));
    case Kind::labelled_cubes:
      samples.unit = SampleKind::volume;
      samples.balanced = true;
      samples.cubes = cubes;
      for (size_t i = 0; i < data->volumes.size(); ++i) samples.volumes.push_back(static_cast<int32_t>(i));
      return AnyLoader(make_task_loader(data, samples, options));
    default:
      samples.unit = SampleKind::volume;
      samples.classes.clear();  // a label for each volume; with masks of their frames volumes are not augmented
      for (size_t i = 0; i < data->volumes.size(); ++i) {
        samples.volumes.push_back(static_cast<int32_t>(i));
        samples.volume_labels.push_back(static_cast<int64_t>(i % 2));
      }
      return AnyLoader(make_task_loader(data, samples, options));
  }
}

}  // namespace ivory::data::testing
