#include "run/pictures.h"

#include <c10/util/StringUtil.h>

#include <functional>

#include "eval/png.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using torch::Tensor;

constexpr int64_t most_slices = 256;    // looked at for nearest slices
constexpr int64_t most_volumes = 12;    // likewise; each costs a pass over all its frames
constexpr int64_t most_prototypes = 8;  // drawn
constexpr int64_t neighbours = 8;       // samples per prototype
constexpr int64_t thumbnail = 32;       // pixels of a slice in the attended volume

// Samples against an objective's prototypes.
struct Scored {
  std::vector<std::string> names;
  Tensor pictures;  // [N, S, S] in [0, 1]: the slices, or the volumes' middle slices
  Tensor scores;    // [N, H] on the CPU; undefined when the objective has no prototypes
};

// `most` numbers of 0 … total − 1, evenly spaced; all when there are fewer.
std::vector<int64_t> evenly(int64_t total, int64_t most) {
  std::vector<int64_t> chosen(static_cast<size_t>(std::min(total, most)));
  const auto count = static_cast<int64_t>(chosen.size());
  for (int64_t i = 0; i < count; ++i) chosen[static_cast<size_t>(i)] = i * total / count;
  return chosen;
}

// [1, S, S] in [0, 1]
Tensor whole_slice(const data::DataSet& data, int64_t volume, int64_t slice, int64_t size) {
  const data::VolumeInfo& info = data.info(volume);
  Tensor image = torch::empty({1, 1, info.rows, info.columns});
  data.cache(volume).read_slice(data.volumes[static_cast<size_t>(volume)].volume, slice,
                                {image.data_ptr<float>(), static_cast<size_t>(image.numel())});
  return resized(image, size, size).squeeze(0).clamp(0, 1);
}

// The volumes one by one, [1, 1, D, H, W] normalised, until `visit` says stop (false).
void for_each_volume(const PictureRequest& request, int64_t most,
                     const std::function<bool(const std::string& name, const Tensor& volume)>& visit) {
  data::LabelledSamples chosen{.unit = SampleKind::volume, .size = request.volume_size};
  for (const int64_t sample : evenly(request.data.samples(SampleKind::volume), most)) {
    chosen.volumes.push_back(request.data.stacks[static_cast<size_t>(sample)]);
    chosen.volume_labels.push_back(0);
  }
  const std::shared_ptr<const data::DataSet> borrowed(&request.data, [](const data::DataSet*) {});
  const auto loader = data::make_task_loader(
      borrowed, chosen, {.batch_size = 1, .workers = 0, .volume_cache_mib = 0, .shuffle = false, .drop_last = false});
  loader->start(0, 0);
  for (const int32_t volume : chosen.volumes) {
    const auto batch = loader->next();
    if (!batch || !visit(request.data.info(volume).name, batch->images.pixels)) return;
  }
}

Scored score_slices(ClusterView& clusters, Model& model, const PictureRequest& request, torch::Device device) {
  Scored result;
  std::vector<Tensor> pictures, scores;
  for (const int64_t id : evenly(static_cast<int64_t>(request.data.slices.size()), most_slices)) {
    const auto [volume, slice] = request.data.slices[static_cast<size_t>(id)];
    pictures.push_back(whole_slice(request.data, volume, slice, request.slice_size));
    result.names.push_back(c10::str(request.data.info(volume).name, " slice ", slice));
  }
  result.pictures = torch::cat(pictures);
  for (const auto& part : result.pictures.unsqueeze(1).split(32)) {
    scores.push_back(clusters.scores(model, ((part - 0.5) / 0.25).to(device)).to(torch::kCPU, torch::kFloat));
  }
  result.scores = torch::cat(scores);
  return result;
}

Scored score_volumes(ClusterView& clusters, Model& model, const PictureRequest& request, torch::Device device) {
  Scored result;
  std::vector<Tensor> pictures, scores;
  for_each_volume(request, most_volumes, [&](const std::string& name, const Tensor& volume) {
    scores.push_back(clusters.scores(model, volume.to(device)).to(torch::kCPU, torch::kFloat));
    pictures.push_back(as_grey(volume.select(2, volume.size(2) / 2).squeeze(1)));
    result.names.push_back(name);
    return true;
  });
  if (scores.empty()) return result;
  result.scores = torch::cat(scores);
  result.pictures = torch::cat(pictures);
  return result;
}

std::vector<PrototypePicture> draw_prototypes(const Scored& samples, const std::string& objective, const char* unit,
                                              const fs::path& folder) {
  const Tensor& scores = samples.scores;
  const auto [best, match] = scores.max(1);                         // [N]
  const Tensor usage = torch::bincount(match, {}, scores.size(1));  // [H]
  const Tensor by_usage = usage.argsort(/*stable=*/true, 0, /*descending=*/true);
  std::vector<PrototypePicture> drawn;
  for (int64_t rank = 0; rank < std::min(most_prototypes, scores.size(1)); ++rank) {
    const auto prototype = by_usage[rank].item<int64_t>(), count = usage[prototype].item<int64_t>();
    if (count == 0) break;
    const Tensor own = (match == prototype).nonzero().squeeze(1);
    const Tensor order = best.index_select(0, own).argsort(/*stable=*/true, 0, /*descending=*/true);
    const Tensor nearest = own.index_select(0, order.narrow(0, 0, std::min(neighbours, count)));
    PrototypePicture picture{.objective = objective, .file = c10::str(objective, "-prototype-", rank + 1, ".png")};
    picture.caption =
        c10::str("prototype ", prototype + 1, ": best match of ", count, " of ", scores.size(0), " ", unit);
    for (int64_t i = 0; i < nearest.size(0); ++i) {
      picture.samples += (i > 0 ? ", " : "") + samples.names[static_cast<size_t>(nearest[i].item<int64_t>())];
    }
    eval::write_png(folder / picture.file, contact_sheet(samples.pictures.index_select(0, nearest), nearest.size(0)));
    drawn.push_back(std::move(picture));
  }
  return drawn;
}

// Attention over the first volume; nothing when the backbone does not tell where it looked.
std::optional<AttentionPicture> draw_attention(Model& model, const PictureRequest& request, const fs::path& folder,
                                               torch::Device device) {
  Tensor volume;  // [1, 1, F, H, W]
  AttentionPicture picture;
  for_each_volume(request, 1, [&](const std::string& name, const Tensor& first) {
    picture.volume = name;
    volume = first;
    return true;
  });
  model.embed(volume.to(device));
  const SampledPositions sampled = model.encoder(SampleKind::volume)->sampled_positions();
  if (sampled.layers.empty()) return {};
  picture.of_slices = sampled.axis == SampledPositions::Axis::slice;
  picture.length = sampled.length;
  for (const auto& layer : sampled.layers) {  // [1, groups, keys]
    const Tensor positions = layer[0].to(torch::kCPU, torch::kDouble).contiguous();
    picture.positions.emplace_back();
    for (int64_t group = 0; group < positions.size(0); ++group) {
      const double* first = positions[group].data_ptr<double>();
      picture.positions.back().emplace_back(first, first + positions.size(1));
    }
  }
  if (picture.of_slices) {
    const Tensor slices =
        resized(as_grey(volume[0].transpose(0, 1)), thumbnail, thumbnail).clamp(0, 1);  // [F, 1, T, T]
    picture.file = "attended-volume.png";
    eval::write_png(folder / picture.file, contact_sheet(slices.squeeze(1), slices.size(0)));
  }
  return picture;
}

}  // namespace

Tensor as_grey(const Tensor& normalised) {
  return (normalised * 0.25 + 0.5).clamp(0, 1);
}

Tensor resized(const Tensor& images, int64_t rows, int64_t columns) {
  namespace F = torch::nn::functional;
  return F::interpolate(images, F::InterpolateFuncOptions()
                                    .size(std::vector<int64_t>{rows, columns})
                                    .mode(torch::kBilinear)
                                    .align_corners(false)
                                    .antialias(true));
}

Tensor contact_sheet(const Tensor& slices, int64_t columns) {
  const int64_t count = slices.size(0), size = slices.size(1), cell = size + 1;
  const int64_t rows = (count + columns - 1) / columns;
  Tensor sheet = torch::full({rows * cell + 1, columns * cell + 1}, 255, torch::kUInt8);
  const Tensor bytes = (slices * 255).round().to(torch::kUInt8);
  for (int64_t i = 0; i < count; ++i) {
    sheet.narrow(0, i / columns * cell + 1, size).narrow(1, i % columns * cell + 1, size).copy_(bytes[i]);
  }
  return sheet.unsqueeze(0).expand({3, -1, -1}).contiguous();
}

StagePictures draw_stage(Model& model, const std::vector<train::TrainedObjective>& objectives,
                         const PictureRequest& request, torch::Device device) {
  const torch::NoGradGuard no_grad;
  const fs::path folder = request.folder / "pictures";
  fs::remove_all(folder);
  fs::create_directories(folder);
  model.eval();
  StagePictures pictures;
  bool of_volumes = false;
  for (const auto& [name, on, objective, measures] : objectives) {
    objective->eval();
    const bool of_slices = on == SampleKind::slice;
    of_volumes |= !of_slices;
    ClusterView* clusters = objective->clusters();
    if (!clusters) continue;
    const Scored samples =
        of_slices ? score_slices(*clusters, model, request, device) : score_volumes(*clusters, model, request, device);
    if (!samples.scores.defined()) continue;
    for (auto& drawn : draw_prototypes(samples, name, of_slices ? "slices" : "volumes", folder)) {
      pictures.prototypes.push_back(std::move(drawn));
    }
  }
  if (of_volumes && model.encoder(SampleKind::volume)) {
    pictures.attention = draw_attention(model, request, folder, device);
  }
  return pictures;
}

}  // namespace ivory::experiment
