#include <ivory/error.h>

#include "data/slice_views.h"
#include "data/view_recipe.h"

namespace ivory::data {
namespace {

class SliceRecipe : public ViewRecipe<Batch, SampleKind::slice> {
 public:
  SliceRecipe(std::shared_ptr<const DataSet> data, const SliceViewSpec& views, const LoaderOptions& options,
              const CropSampling& sampling)
      : ViewRecipe(std::move(data), options), views_(views), sampling_(sampling) {
    check_crops(views_);
  }

  int64_t bytes(int64_t samples) const override {
    int64_t pixels = 0;
    for (const CropSpec& crop : views_.crops) pixels += crop.count * crop.size * crop.size;
    return samples * (pixels * static_cast<int64_t>(c10::elementSize(options_.type)) + prepared_bytes());
  }

  Batch allocate(std::span<const Draw> draws) const override {
    const auto count = static_cast<int64_t>(draws.size());
    Batch batch{.kind = SampleKind::slice, .views = {}, .index = sample_ids(draws)};
    for (const CropSpec& crop : views_.crops)
      for (int64_t i = 0; i < crop.count; ++i)
        batch.views.push_back({.pixels = torch::empty({count, 1, crop.size, crop.size}, options_.type),
                               .place = torch::empty({count, 2, 3}, torch::kDouble)});
    return batch;
  }

  void fill(Batch& batch, int64_t position, const Draw& draw, int64_t epoch) const override {
    const auto [volume, slice] = data_->slices[static_cast<size_t>(draw.sample)];
    const DecodedSlice decoded = data_->cache(volume).decode(data_->volumes[static_cast<size_t>(volume)].volume, slice);
    size_t view = 0;
    for (const CropSpec& crop : views_.crops) {
      for (int64_t i = 0; i < crop.count; ++i, ++view) {
        CounterRandom random = stream(draw, view, epoch);
        const SliceView drawn = draw_slice_view(random, decoded.rows(), decoded.columns(), crop, views_, sampling_);
        render(decoded, drawn, crop.size, batch.views[view].pixels, position);
        write_place(drawn, crop.size, batch.views[view].place.data_ptr<double>() + 6 * position);
      }
    }
    prepare(batch, position, draw, epoch);
  }

 private:
  // into[position]: [1, size, size].
  void render(const DecodedSlice& slice, const SliceView& view, int64_t size, const torch::Tensor& into,
              int64_t position) const {
    thread_local std::vector<float> scratch;
    const auto pixels = static_cast<size_t>(size * size), place = static_cast<size_t>(position) * pixels;
    if (options_.type == torch::kFloat32) return render(slice, view, size, {into.data_ptr<float>() + place, pixels});
    if (scratch.size() < pixels) scratch.resize(pixels);
    const std::span<float> image(scratch.data(), pixels);
    render(slice, view, size, image);
    to_bfloat16(image, static_cast<uint16_t*>(into.data_ptr()) + place);
  }

  void render(const DecodedSlice& slice, const SliceView& view, int64_t size, std::span<float> out) const {
    resample([&](int64_t row, int64_t first, std::span<float> values) { slice.read(row, first, values); }, view.box,
             {.rows = size, .columns = size, .antialias = sampling_.antialias, .flip = view.flip}, out.data());
    const bool blurred = view.sigma > 0;
    tone_and_normalise(view.tone, out, view.solarise && !blurred);
    if (blurred) blur(out, size, size, view.sigma, view.solarise);
  }

  SliceViewSpec views_;
  CropSampling sampling_;
};

}  // namespace

SliceView draw_slice_view(CounterRandom& random, int64_t rows, int64_t columns, const CropSpec& crop,
                          const SliceViewSpec& views, const CropSampling& sampling) {
  SliceView view;
  view.box = draw_crop(random, rows, columns, crop.scale_min, crop.scale_max, sampling.aspect);
  view.flip = random.chance(views.flip);
  view.tone = draw_tone(random, views.intensity, views.gamma);
  const bool blurred = random.chance(crop.blur.value_or(views.blur));
  const double sigma = random.uniform(views.blur_sigma[0], views.blur_sigma[1]);
  if (blurred) view.sigma = sigma;
  if (crop.solarise > 0) view.solarise = random.chance(crop.solarise);  // else the numbers that there were before it
  return view;
}

void write_place(const SliceView& view, int64_t size, double* place) {
  const double down = static_cast<double>(view.box.rows) / static_cast<double>(size);
  const double right = static_cast<double>(view.box.columns) / static_cast<double>(size);
  const double first_row = static_cast<double>(view.box.row) + 0.5 * down - 0.5;
  const double first_column = static_cast<double>(view.box.column) + 0.5 * right - 0.5;
  const double last_column = first_column + right * static_cast<double>(size - 1);
  const double values[] = {down, 0, first_row, 0, view.flip ? -right : right, view.flip ? last_column : first_column};
  std::copy(std::begin(values), std::end(values), place);
}

void check_crops(const SliceViewSpec& views) {
  for (const CropSpec& crop : views.crops)
    IVORY_CHECK(crop.size > 0 && 0 < crop.scale_min && crop.scale_min <= crop.scale_max && crop.scale_max <= 1,
                "crops of ", crop.size, " pixels with areas from ", crop.scale_min, " to ", crop.scale_max,
                ", expected a positive size and areas in (0, 1]");
}

std::unique_ptr<BatchSource<Batch>> make_slice_loader(std::shared_ptr<const DataSet> data, const SliceViewSpec& views,
                                                      const LoaderOptions& options, const CropSampling& sampling) {
  if (options.device.is_cuda())
    return make_device_slice_loader(std::move(data), views, options, sampling, device_kernels());
  return std::make_unique<Prefetcher<Batch>>(std::make_unique<SliceRecipe>(std::move(data), views, options, sampling),
                                             options);
}

}  // namespace ivory::data
