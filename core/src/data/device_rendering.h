#pragma once
// What loaders whose views are made by kernels have in common: batches of jobs become batches of views.

#include "data/device_views.h"
#include "data/prefetch.h"

namespace ivory::data {

// A batch before its views are made. `jobs` and what the samples hold are page-locked where the device is a GPU.
struct UnmadeBatch {
  torch::Tensor index;                                            // [B] int64
  torch::Tensor jobs;                                             // bytes of [V, B] jobs
  torch::Tensor pixels;                                           // bytes; of slices
  std::vector<int64_t> slice_places;                              // [B], in pixels
  std::vector<std::shared_ptr<const struct GreyVolume>> volumes;  // [V, B]; of volumes: views may share theirs
  torch::Tensor places;  // [V, B, 3, 4] float64 of volumes, [V, B, 2, 3] of slices
};

// Uninitialised bytes on the CPU.
torch::Tensor host_bytes(int64_t count, torch::Device device);

// Room for `values` of the views and for the kernels' scratch.
struct ViewRoom {
  torch::Tensor out, scratch;
  ViewRoom(int64_t values, const LoaderOptions& options);
  ViewTarget target() const;
};

// Renders in next(): `render` makes the views of a batch.
class RenderedBatches : public BatchSource<Batch> {
 public:
  using Render = std::function<Batch(const UnmadeBatch&)>;
  RenderedBatches(std::unique_ptr<const Recipe<UnmadeBatch>> recipe, const LoaderOptions& options, Render render)
      : source_(std::move(recipe), options), render_(std::move(render)) {}

  int64_t batches() const override { return source_.batches(); }
  void start(int64_t epoch, int64_t first_batch) override { source_.start(epoch, first_batch); }
  std::optional<Batch> next() override {
    const auto unmade = source_.next();
    return unmade ? std::optional(render_(*unmade)) : std::nullopt;
  }
  int64_t queued_bytes() const override { return source_.queued_bytes(); }
  std::vector<std::string> remarks() const override { return source_.remarks(); }

 private:
  Prefetcher<UnmadeBatch> source_;
  Render render_;
};

}  // namespace ivory::data
