#include "data/view_recipe.h"
#include "data/volume_views.h"

namespace ivory::data {
namespace {

class VolumeRecipe : public ViewRecipe<Batch, SampleKind::volume> {
 public:
  VolumeRecipe(std::shared_ptr<const DataSet> data, const VolumeViewSpec& views, const LoaderOptions& options)
      : ViewRecipe(data, options), views_(std::move(data), views, options) {}

  int64_t bytes(int64_t samples) const override {
    const int64_t voxels = views_.spec().count * views_.voxels();
    return samples * (voxels * static_cast<int64_t>(c10::elementSize(options_.type)) + prepared_bytes());
  }

  Batch allocate(std::span<const Draw> draws) const override {
    const auto count = std::ssize(draws);
    const auto [slices, rows, columns] = views_.spec().size;
    Batch batch{.kind = SampleKind::volume, .views = {}, .index = sample_ids(draws)};
    for (int64_t i = 0; i < views_.spec().count; ++i)
      batch.views.push_back({.pixels = torch::empty({count, 1, slices, rows, columns}, options_.type),
                             .place = empty_places(count)});  // [B, 1, D, H, W]
    return batch;
  }

  void fill(Batch& batch, int64_t position, const Draw& draw, int64_t epoch) const override {
    std::vector<int64_t> sources;
    views_.draw(draw, epoch, [&](DrawnView& view) {
      if (!views_.spec().sources.empty()) sources.push_back(view.source);
      const View& into = batch.views[static_cast<size_t>(view.number)];
      write_place(*view.volume, view.job, place_of(into, position));
      const int64_t first = position * views_.voxels();
      const auto render = [&](auto* out) {
        render_volume(*view.volume, view.job, view.transform, view.random,
                      std::span(out + first, static_cast<size_t>(views_.voxels())), views_.cubes());
      };
      if (options_.type == torch::kFloat32)
        render(into.pixels.data_ptr<float>());
      else
        render(static_cast<uint16_t*>(into.pixels.data_ptr()));
    });
    prepare(batch, position, draw, epoch, sources);
  }

  std::vector<std::string> remarks() const override { return views_.remarks(); }

 private:
  VolumeViews views_;
};

}  // namespace

std::unique_ptr<BatchSource<Batch>> make_volume_loader(std::shared_ptr<const DataSet> data, const VolumeViewSpec& views,
                                                       const LoaderOptions& options) {
  if (options.device.is_cuda()) return make_device_volume_loader(std::move(data), views, options, device_kernels());
  return std::make_unique<Prefetcher<Batch>>(std::make_unique<VolumeRecipe>(std::move(data), views, options), options);
}

}  // namespace ivory::data
