#include "experiment/pictures.h"

#include "eval/png.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using torch::Tensor;

constexpr int64_t most_slices = 256;    // looked at for nearest slices
constexpr int64_t most_prototypes = 8;  // drawn
constexpr int64_t neighbours = 8;       // slices per prototype

data::LoaderOptions in_order(int64_t batch) {
  return {.batch_size = batch, .workers = 0, .shuffle = false, .drop_last = false};
}

// Up to most_slices slices, evenly over the data set: [N, 1, S, S], normalised.
Tensor plain_slices(const PictureRequest& request) {
  data::LabelledSamples samples{.unit = TaskUnit::slice, .size = request.size};
  const auto total = static_cast<int64_t>(request.data.slices.size());
  const int64_t count = std::min(total, most_slices);
  for (int64_t i = 0; i < count; ++i)
    samples.slices.push_back(request.data.slices[static_cast<size_t>(i * total / count)]);
  const std::shared_ptr<const data::DataSet> borrowed(&request.data, [](const data::DataSet*) {});
  const auto loader = data::make_task_loader(borrowed, samples, in_order(32));
  std::vector<Tensor> batches;
  loader->start(0, 0);
  while (const auto batch = loader->next()) batches.push_back(batch->images);
  return torch::cat(batches);
}

Tensor first_volume(const PictureRequest& request, int64_t frames) {
  data::LabelledSamples samples{
      .unit = TaskUnit::volume, .volumes = {0}, .volume_labels = {0}, .size = request.size, .frames = frames};
  const std::shared_ptr<const data::DataSet> borrowed(&request.data, [](const data::DataSet*) {});
  const auto loader = data::make_task_loader(borrowed, samples, in_order(1));
  loader->start(0, 0);
  return loader->next().value().images;  // [1, F, 1, S, S]
}

// The loader's normalisation undone: (x · 0.25 + 0.5), clamped to [0, 1].
Tensor as_grey(const Tensor& normalised) {
  return (normalised * 0.25 + 0.5).clamp(0, 1);
}

fs::path draw_prototypes(const Tensor& slices, const Tensor& scores, const fs::path& file) {
  const Tensor usage = torch::bincount(scores.argmax(1), {}, scores.size(1));  // [H]
  const int64_t drawn = std::min<int64_t>(most_prototypes, (usage > 0).sum().item<int64_t>());
  const Tensor chosen = std::get<1>(usage.topk(drawn));
  std::vector<Tensor> rows;
  for (int64_t i = 0; i < drawn; ++i) {
    const Tensor column = scores.select(1, chosen[i].item<int64_t>());
    const Tensor nearest = std::get<1>(column.topk(std::min<int64_t>(neighbours, column.size(0))));
    rows.push_back(slices.index_select(0, nearest).squeeze(1));
  }
  eval::write_png(file, contact_sheet(as_grey(torch::cat(rows)), std::min<int64_t>(neighbours, slices.size(0))));
  return file;
}

// Thumbnails of the slices in a row; below it a strip per layer with a mark at each sampled position, a line per group.
fs::path draw_attention(const Tensor& volume, const std::vector<Tensor>& layers, const fs::path& file) {
  const int64_t frames = volume.size(0), thumb = 24, line = 4;
  const Tensor small = torch::nn::functional::interpolate(
      as_grey(volume),
      torch::nn::functional::InterpolateFuncOptions().size(std::vector<int64_t>{thumb, thumb}).mode(torch::kArea));
  const Tensor sheet = contact_sheet(small.squeeze(1), frames);
  const int64_t width = sheet.size(2);
  std::vector<Tensor> strips = {sheet};
  for (const auto& positions : layers) {  // [1, groups, keys]
    const int64_t groups = positions.size(1);
    Tensor strip = torch::full({3, groups * line + 6, width}, 245, torch::kUInt8);
    for (int64_t group = 0; group < groups; ++group) {
      for (int64_t key = 0; key < positions.size(2); ++key) {
        const double slice = positions[0][group][key].item<double>();
        const auto x = static_cast<int64_t>((slice + 0.5) / static_cast<double>(frames) * static_cast<double>(width));
        const int64_t left = std::clamp<int64_t>(x - 1, 0, width - 2);
        auto mark = strip.narrow(1, 3 + group * line, line - 1).narrow(2, left, 2);
        mark.copy_(torch::tensor({0, 114, 178}, torch::kUInt8).view({3, 1, 1}).expand_as(mark));
      }
    }
    strips.push_back(strip);
  }
  eval::write_png(file, torch::cat(strips, 1));
  return file;
}

Tensor scores_in_batches(Objective& objective, Model& model, const Tensor& slices, torch::Device device) {
  std::vector<Tensor> parts;
  for (const auto& part : slices.split(32)) {
    const Tensor scores = objective.prototype_scores(model, part.to(device));
    if (!scores.defined()) return {};
    parts.push_back(scores.to(torch::kCPU, torch::kFloat));
  }
  return torch::cat(parts);
}

}  // namespace

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

std::vector<fs::path> draw_stage(Model& model, const std::vector<std::shared_ptr<Objective>>& objectives,
                                 const PictureRequest& request, torch::Device device) {
  const torch::NoGradGuard no_grad;
  model.eval();
  fs::create_directories(request.folder / "pictures");
  std::vector<fs::path> files;
  for (const auto& objective : objectives) {
    if (objective->kind() != SampleKind::slice) continue;
    objective->eval();
    const Tensor slices = plain_slices(request);
    const Tensor scores = scores_in_batches(*objective, model, slices, device);
    if (scores.defined())
      files.push_back(draw_prototypes(slices, scores, request.folder / "pictures" / "prototypes.png"));
  }
  if (model.has_inter() && request.attends_slices) {
    const Tensor volume = first_volume(request, model.frames());
    model.embed(volume.to(device));
    const auto positions = model.inter->sampled_positions();
    if (!positions.empty()) {
      std::vector<Tensor> layers;
      for (const auto& layer : positions) layers.push_back(layer.to(torch::kCPU));
      files.push_back(draw_attention(volume[0], layers, request.folder / "pictures" / "attention.png"));
    }
  }
  return files;
}

}  // namespace ivory::experiment
