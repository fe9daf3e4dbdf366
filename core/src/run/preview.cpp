#include "run/preview.h"

#include "run/pictures.h"

namespace ivory::experiment {
namespace {

using torch::Tensor;

constexpr int64_t frames_shown = 4;  // of a volume's view

// A grey picture [H, W] in the middle of a cell of size × size.
Tensor centred(const Tensor& picture, int64_t size) {
  Tensor cell = torch::zeros({size, size});
  const int64_t top = (size - picture.size(0)) / 2, left = (size - picture.size(1)) / 2;
  cell.narrow(0, top, picture.size(0)).narrow(1, left, picture.size(1)).copy_(picture);
  return cell;
}

// The slice as the cache has it, its longer side `size` pixels.
Tensor untouched(const data::DataSet& data, int64_t volume, int64_t slice, int64_t size) {
  const data::VolumeInfo& info = data.info(volume);
  const double scale = static_cast<double>(size) / static_cast<double>(std::max(info.rows, info.columns));
  const auto shrunk = [&](int64_t side) {
    return std::max<int64_t>(1, std::lround(static_cast<double>(side) * scale));
  };
  const Tensor whole = torch::empty({1, 1, info.rows, info.columns});
  data.cache(volume).read_slice(data.volumes[static_cast<size_t>(volume)].volume, slice,
                                {whole.data_ptr<float>(), static_cast<size_t>(whole.numel())});
  return centred(resized(whole, shrunk(info.rows), shrunk(info.columns))[0][0].clamp(0, 1), size);
}

// What a row shows of one view [H, W] or [D, H, W].
void add_view(std::vector<Tensor>& cells, const Tensor& view, int64_t size) {
  if (view.dim() == 2) return cells.push_back(centred(as_grey(view), size));
  for (int64_t i = 0; i < frames_shown; ++i)
    cells.push_back(centred(as_grey(view[(2 * i + 1) * view.size(0) / (2 * frames_shown)]), size));
}

Batch first_batch(const std::shared_ptr<const data::DataSet>& data, const config::StageSpec& stage,
                  const PreviewRequest& request) {
  const data::LoaderOptions options{.batch_size = request.samples,
                                    .workers = 0,
                                    .seed = request.seed,
                                    .shuffle_volumes = stage.shuffle_volumes,
                                    .cache_weights = stage.data_weights};
  const auto loader = request.kind == SampleKind::slice ? data::make_slice_loader(data, stage.slice_views, options)
                                                        : data::make_volume_loader(data, stage.volume_views, options);
  return std::move(*loader->next());
}

}  // namespace

Tensor preview_sheet(std::shared_ptr<const data::DataSet> data, const config::StageSpec& stage,
                     const PreviewRequest& request) {
  const bool slices = request.kind == SampleKind::slice;
  const Batch batch = first_batch(data, stage, request);
  int64_t size = 0;
  for (const View& view : batch.views) size = std::max({size, view.pixels.size(-1), view.pixels.size(-2)});
  std::vector<Tensor> cells;
  for (int64_t i = 0; i < batch.size(); ++i) {
    const auto id = static_cast<size_t>(batch.index[i].item<int64_t>());
    const int32_t volume = slices ? data->slices[id][0] : data->stacks[id];
    const int64_t slice = slices ? data->slices[id][1] : data->info(volume).slices / 2;
    cells.push_back(untouched(*data, volume, slice, size));
    for (const View& view : batch.views) add_view(cells, view.pixels[i].squeeze(0), size);
  }
  return contact_sheet(torch::stack(cells), static_cast<int64_t>(cells.size()) / batch.size());
}

}  // namespace ivory::experiment
