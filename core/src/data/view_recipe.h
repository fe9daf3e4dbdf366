#pragma once
// What recipes of views have in common: which samples an epoch has.

#include <ivory/random.h>

#include <atomic>
#include <cstring>
#include <mutex>

#include "data/device_views.h"
#include "data/prefetch.h"

namespace ivory::data {

template <class T, SampleKind kind>
class ViewRecipe : public Recipe<T> {
 public:
  ViewRecipe(std::shared_ptr<const DataSet> data, const LoaderOptions& options)
      : data_(std::move(data)), options_(options) {
    check_draws(*data_, kind, options_);
    check_view_type(options_.type);
  }

  int64_t batches() const override { return batch_count(data_->samples(kind), options_); }
  std::vector<Draw> draws(int64_t epoch) const override { return epoch_draws(*data_, kind, options_, epoch); }

 protected:
  // What LoaderOptions::prepare makes of a sample whose views are filled in.
  void prepare(Batch& batch, int64_t position, const Draw& draw, int64_t epoch,
               const std::vector<int64_t>& sources = {}) const {
    if (!options_.prepare) return;
    Sample sample{.kind = kind,
                  .views = {},
                  .sources = sources,
                  .modality = data_->info(volume_of(draw)).modality,
                  .seed = options_.seed,
                  .epoch = static_cast<uint64_t>(epoch),
                  .index = static_cast<uint64_t>(draw.sample),
                  .copy = static_cast<uint64_t>(draw.copy)};
    for (const View& view : batch.views)
      sample.views.push_back({view.pixels[position], view.place.defined() ? view.place[position] : torch::Tensor()});
    const std::vector<torch::Tensor> made = options_.prepare(sample);
    {
      const std::lock_guard lock(preparing_);  // who comes first makes room for the batch
      if (batch.prepared.empty()) make_room(batch, made);
    }
    for (size_t i = 0; i < made.size(); ++i) put(made[i], batch.prepared[i], position);
  }
  // Of what was prepared of a sample; 0 before the first one.
  int64_t prepared_bytes() const { return prepared_bytes_; }

  CounterRandom stream(const Draw& draw, size_t view, int64_t epoch) const {
    return {options_.seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(draw.sample), view_stream(draw, view)};
  }

  const std::shared_ptr<const DataSet> data_;
  const LoaderOptions options_;

 private:
  int64_t volume_of(const Draw& draw) const {
    const auto sample = static_cast<size_t>(draw.sample);
    return kind == SampleKind::slice ? data_->slices[sample][0] : data_->stacks[sample];
  }
  void make_room(Batch& batch, const std::vector<torch::Tensor>& made) const {
    int64_t bytes = 0;
    for (const torch::Tensor& one : made) {
      std::vector<int64_t> shape = one.sizes().vec();
      shape.insert(shape.begin(), batch.index.size(0));
      batch.prepared.push_back(torch::empty(shape, one.scalar_type()));
      bytes += static_cast<int64_t>(one.nbytes());
    }
    prepared_bytes_ = bytes;
  }
  static void put(const torch::Tensor& one, const torch::Tensor& into, int64_t position) {
    IVORY_CHECK(one.sizes() == into.sizes().slice(1) && one.scalar_type() == into.scalar_type(),
                "an objective prepared a tensor of shape ", one.sizes(), " of one sample and of shape ",
                into.sizes().slice(1), " of another, expected the same of all");
    const torch::Tensor values = one.contiguous();
    std::memcpy(static_cast<char*>(into.data_ptr()) + position * static_cast<int64_t>(values.nbytes()),
                values.const_data_ptr(), values.nbytes());
  }

  mutable std::mutex preparing_;
  mutable std::atomic<int64_t> prepared_bytes_ = 0;
};

}  // namespace ivory::data
