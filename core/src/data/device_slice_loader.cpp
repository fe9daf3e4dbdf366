#include "data/device_rendering.h"
#include "data/slice_views.h"
#include "data/view_recipe.h"

namespace ivory::data {
namespace {

constexpr int64_t alignment = 16;  // bytes, of each slice

int64_t slice_bytes(const VolumeInfo& info) {
  const int64_t bytes = info.rows * info.columns * static_cast<int64_t>(bytes_of(pixel_type(info.dtype)));
  return (bytes + alignment - 1) / alignment * alignment;
}

class SliceJobs : public ViewRecipe<UnmadeBatch, SampleKind::slice> {
 public:
  SliceJobs(std::shared_ptr<const DataSet> data, const SliceViewSpec& views, const LoaderOptions& options,
            const CropSampling& sampling)
      : ViewRecipe(std::move(data), options), views_(views), sampling_(sampling) {
    check_crops(views_);
    for (size_t i = 0; i < data_->volumes.size(); ++i)
      largest_ = std::max(largest_, slice_bytes(data_->info(static_cast<int64_t>(i))));
    for (const CropSpec& crop : views_.crops) count_ += crop.count;
  }

  int64_t bytes(int64_t samples) const override {
    return samples * (largest_ + count_ * static_cast<int64_t>(sizeof(SliceJob)));
  }

  UnmadeBatch allocate(std::span<const Draw> draws) const override {
    UnmadeBatch batch{.index = sample_ids(draws)};
    int64_t bytes = 0;
    for (const Draw& draw : draws) {
      batch.slice_places.push_back(bytes);
      bytes += slice_bytes(data_->info(data_->slices[static_cast<size_t>(draw.sample)][0]));
    }
    batch.pixels = host_bytes(bytes, options_.device);
    batch.places = torch::empty({count_, std::ssize(draws), 2, 3}, torch::kDouble);
    batch.jobs = host_bytes(count_ * std::ssize(draws) * static_cast<int64_t>(sizeof(SliceJob)), options_.device);
    return batch;
  }

  void fill(UnmadeBatch& batch, int64_t position, const Draw& draw, int64_t epoch) const override {
    const auto [volume, slice] = data_->slices[static_cast<size_t>(draw.sample)];
    const DecodedSlice decoded = data_->cache(volume).decode(data_->volumes[static_cast<size_t>(volume)].volume, slice);
    const int64_t first = batch.slice_places[static_cast<size_t>(position)];
    const auto bytes = static_cast<size_t>(decoded.rows() * decoded.columns()) * bytes_of(decoded.type());
    decoded.read_native({batch.pixels.data_ptr<uint8_t>() + first, bytes});
    const int64_t samples = batch.index.size(0);
    auto* jobs = reinterpret_cast<SliceJob*>(batch.jobs.data_ptr());
    int64_t out = 0;
    size_t view = 0;
    for (const CropSpec& crop : views_.crops) {
      for (int64_t i = 0; i < crop.count; ++i, ++view) {
        CounterRandom random = stream(draw, view, epoch);
        SliceJob& job = jobs[static_cast<int64_t>(view) * samples + position];
        const SliceView drawn = draw_slice_view(random, decoded.rows(), decoded.columns(), crop, views_, sampling_);
        job = make_job(decoded, crop, drawn);
        write_place(drawn, crop.size,
                    batch.places.data_ptr<double>() + 6 * (static_cast<int64_t>(view) * samples + position));
        job.pixels = first;
        job.out = out + position * crop.size * crop.size;
        out += samples * crop.size * crop.size;
      }
    }
  }

 private:
  SliceJob make_job(const DecodedSlice& slice, const CropSpec& crop, const SliceView& view) const {
    return {.rows = slice.rows(),
            .columns = slice.columns(),
            .type = slice.type(),
            .low = slice.low(),
            .scale = slice.scale(),
            .crop_row = view.box.row,
            .crop_column = view.box.column,
            .crop_rows = view.box.rows,
            .crop_columns = view.box.columns,
            .size = crop.size,
            .antialias = sampling_.antialias,
            .flip = view.flip,
            .tone = view.tone,
            .blur = make_blur(view.sigma),
            .solarise = view.solarise};
  }

  SliceViewSpec views_;
  CropSampling sampling_;
  int64_t largest_ = 0, count_ = 0;  // bytes of a slice; views of a sample
};

}  // namespace

std::unique_ptr<BatchSource<Batch>> make_device_slice_loader(std::shared_ptr<const DataSet> data,
                                                             const SliceViewSpec& views, const LoaderOptions& options,
                                                             const CropSampling& sampling, const ViewKernels& kernels) {
  const auto render = [views, options, kernels](const UnmadeBatch& unmade) {
    const int64_t samples = unmade.index.size(0);
    int64_t values = 0, count = 0;
    for (const CropSpec& crop : views.crops) {
      values += crop.count * samples * crop.size * crop.size;
      count += crop.count * samples;
    }
    const torch::Tensor pixels = unmade.pixels.to(options.device, /*non_blocking=*/true);
    const torch::Tensor jobs = unmade.jobs.to(options.device, /*non_blocking=*/true);
    const ViewRoom room(values, options);
    kernels.slices(options.device.index(), reinterpret_cast<const SliceJob*>(jobs.data_ptr()), count,
                   pixels.data_ptr<uint8_t>(), room.target());
    Batch batch{.kind = SampleKind::slice, .views = {}, .index = unmade.index};
    int64_t first = 0;
    for (const CropSpec& crop : views.crops) {
      for (int64_t i = 0; i < crop.count; ++i) {
        const int64_t size = samples * crop.size * crop.size;
        batch.views.push_back({.pixels = room.out.narrow(0, first, size).view({samples, 1, crop.size, crop.size}),
                               .place = unmade.places[std::ssize(batch.views)]});
        first += size;
      }
    }
    return batch;
  };
  return std::make_unique<RenderedBatches>(std::make_unique<SliceJobs>(std::move(data), views, options, sampling),
                                           options, render);
}

}  // namespace ivory::data
