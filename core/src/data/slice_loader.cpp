#include <ivory/error.h>
#include <ivory/random.h>

#include "data/crop.h"
#include "data/intensity.h"
#include "data/loader.h"
#include "data/prefetch.h"

namespace ivory::data {
namespace {

constexpr double blur_from = 0.1, blur_to = 2.0;  // σ in pixels, SwAV's range

class SliceRecipe : public Recipe<Batch> {
 public:
  SliceRecipe(std::shared_ptr<const DataSet> data, const SliceViewSpec& views, const LoaderOptions& options,
              const CropSampling& sampling)
      : data_(std::move(data)), views_(views), options_(options), sampling_(sampling) {
    check_draws(*data_, SampleKind::slice, options_);
    for (const CropSpec& crop : views_.crops)
      IVORY_CHECK(crop.size > 0 && 0 < crop.scale_min && crop.scale_min <= crop.scale_max && crop.scale_max <= 1,
                  "crops of ", crop.size, " pixels with areas from ", crop.scale_min, " to ", crop.scale_max,
                  ", expected a positive size and areas in (0, 1]");
  }

  int64_t batches() const override { return batch_count(data_->samples(SampleKind::slice), options_); }

  std::vector<Draw> draws(int64_t epoch) const override {
    return epoch_draws(*data_, SampleKind::slice, options_, epoch);
  }

  int64_t bytes(int64_t samples) const override {
    int64_t pixels = 0;
    for (const CropSpec& crop : views_.crops) pixels += crop.count * crop.size * crop.size;
    return samples * pixels * static_cast<int64_t>(sizeof(float));
  }

  Batch allocate(std::span<const Draw> draws) const override {
    const auto count = static_cast<int64_t>(draws.size());
    Batch batch{.kind = SampleKind::slice, .views = {}, .index = sample_ids(draws)};
    for (const CropSpec& crop : views_.crops)
      for (int64_t i = 0; i < crop.count; ++i)
        batch.views.push_back(torch::empty({count, 1, crop.size, crop.size}));  // [B, 1, S, S]
    return batch;
  }

  void fill(Batch& batch, int64_t position, const Draw& draw, int64_t epoch) const override {
    const auto [volume, slice] = data_->slices[static_cast<size_t>(draw.sample)];
    const DecodedSlice decoded = data_->cache(volume).decode(data_->volumes[static_cast<size_t>(volume)].volume, slice);
    size_t view = 0;
    for (const CropSpec& crop : views_.crops) {
      for (int64_t i = 0; i < crop.count; ++i, ++view) {
        CounterRandom random(options_.seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(draw.sample),
                             view_stream(draw, view));
        const auto pixels = static_cast<size_t>(crop.size * crop.size);
        float* out = batch.views[view].data_ptr<float>() + static_cast<size_t>(position) * pixels;
        render(decoded, crop, random, {out, pixels});
      }
    }
  }

 private:
  void render(const DecodedSlice& slice, const CropSpec& crop, CounterRandom& random, std::span<float> out) const {
    const Box box = draw_crop(random, slice.rows(), slice.columns(), crop.scale_min, crop.scale_max, sampling_.aspect);
    const bool flip = random.chance(views_.flip);
    const Tone tone = draw_tone(random, views_.intensity);
    const bool blurred = random.chance(views_.blur);
    const double sigma = random.uniform(blur_from, blur_to);
    resample([&](int64_t row, int64_t first, std::span<float> values) { slice.read(row, first, values); }, box,
             {.rows = crop.size, .columns = crop.size, .antialias = sampling_.antialias, .flip = flip}, out.data());
    tone_and_normalise(tone, out);
    if (blurred) blur(out, crop.size, crop.size, sigma);
  }

  std::shared_ptr<const DataSet> data_;
  SliceViewSpec views_;
  LoaderOptions options_;
  CropSampling sampling_;
};

}  // namespace

std::unique_ptr<BatchSource<Batch>> make_slice_loader(std::shared_ptr<const DataSet> data, const SliceViewSpec& views,
                                                      const LoaderOptions& options, const CropSampling& sampling) {
  return std::make_unique<Prefetcher<Batch>>(std::make_unique<SliceRecipe>(std::move(data), views, options, sampling),
                                             options);
}

}  // namespace ivory::data
