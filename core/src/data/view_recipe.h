#pragma once
// What recipes of views have in common: which samples an epoch has.

#include <ivory/random.h>

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
  CounterRandom stream(const Draw& draw, size_t view, int64_t epoch) const {
    return {options_.seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(draw.sample), view_stream(draw, view)};
  }

  const std::shared_ptr<const DataSet> data_;
  const LoaderOptions options_;
};

}  // namespace ivory::data
