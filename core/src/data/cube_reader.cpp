#include "data/cube_reader.h"

#include <ivory/error.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ivory::data {
namespace {

std::string text_of(const Extent& extent) {
  return c10::str(extent[0], " x ", extent[1], " x ", extent[2]);
}

int64_t source_count(const VolumeViewSpec& views) {
  return std::max<int64_t>(1, std::ssize(views.sources));
}

}  // namespace

std::string some_names(const std::vector<std::string>& names) {
  constexpr size_t most = 8;
  std::string text;
  for (size_t i = 0; i < std::min(most, names.size()); ++i) text += (i == 0 ? "" : ", ") + names[i];
  return names.size() <= most ? text : c10::str(text, " and ", names.size() - most, " more");
}

CubeReader::CubeReader(std::shared_ptr<const DataSet> data, const VolumeViewSpec& views,
                       std::span<const int32_t> volumes)
    : data_(std::move(data)), views_(views) {
  check_volume_views(views_);
  const auto fits = [&](int64_t volume) {
    for (int64_t source = 0; source < source_count(views_); ++source)
      if (!grid_of(volume, source).fits()) return false;
    return true;
  };
  for (const int32_t volume : volumes)
    if (!fits(volume)) padded_.push_back(data_->info(volume).name);
  IVORY_CHECK(padded_.empty() || views_.pad, "cubes of ", text_of(views_.size), " voxels do not fit into ",
              padded_.size(), " of ", volumes.size(), " volumes: ", some_names(padded_),
              "; expected larger volumes, or pad = true");
}

void CubeReader::read(int64_t volume, const VolumeBox& box, const VolumeTransform& transform, const Extent& size,
                      GreyVolume& out, int64_t further) const {
  const VolumeInfo& info = data_->info(volume);
  VolumePart part = part_needed(info, box, transform, size, grid(volume).shrinking());
  part.count[0] = std::min(part.count[0] + further, info.slices - part.first[0]);
  read_part(*data_, volume, part, out);
}

CubeGrid CubeReader::grid_of(int64_t volume, int64_t source) const {
  return {data_->info(volume), views_, views_.sources.empty() ? nullptr : &views_.sources[static_cast<size_t>(source)]};
}

PlacedCube CubeReader::place(int64_t volume, const PlacedCube* first, CounterRandom& random) const {
  constexpr int64_t attempts = 256;
  const auto any = [&] {
    PlacedCube cube;
    if (!views_.sources.empty()) cube.source = random.below(std::ssize(views_.sources));
    cube.box = grid_of(volume, cube.source).draw(random);
    return cube;
  };
  if (first && views_.overlap > 0)
    return {.box = grid(volume).draw_beside(first->box, views_.overlap, random), .source = 0};
  if (!first || views_.iou == 0) return any();
  for (int64_t attempt = 0; attempt < attempts; ++attempt) {
    const PlacedCube cube = any();
    if (intersection_over_union(first->box, cube.box) >= views_.iou) return cube;
  }
  ++together_;
  return *first;
}

PlacedCube CubeReader::draw(int64_t volume, const VolumeTransform& transform, c10::function_ref<PlacedCube()> draw,
                            GreyVolume& out) const {
  thread_local GreyVolume candidate;
  const bool airy = views_.most_air < 1, dense = views_.most_tissue < 1;
  PlacedCube best;
  double least = 3, best_air = 0, best_tissue = 0;  // the share that is too much
  for (int64_t i = 0; i < most_draws; ++i) {
    const PlacedCube cube = draw();
    GreyVolume& part = i == 0 ? out : candidate;
    read(volume, cube.box, transform, views_.size, part, dense ? 1 : 0);
    if (!airy && !dense) return cube;
    const double air = airy ? share_below(part, cube.box, views_.air_below) : 0;
    const double tissue = dense ? dense_share(part, cube.box, views_.tissue_from) : 0;
    const double excess = std::max(0.0, air - views_.most_air) + std::max(0.0, tissue - views_.most_tissue);
    if (excess < least) {
      if (i > 0) std::swap(out, candidate);
      least = excess, best = cube, best_air = air, best_tissue = tissue;
    }
    if (least <= 0) break;
  }
  ++drawn_;
  if (best_air > views_.most_air) ++airy_;
  if (best_tissue > views_.most_tissue) ++dense_;
  return best;
}

int64_t CubeReader::most_values(int64_t volume) const {
  int64_t most = 0;
  for (int64_t source = 0; source < source_count(views_); ++source)
    most = std::max(most, most_values(volume, grid_of(volume, source)));
  return most;
}

int64_t CubeReader::most_values(int64_t volume, const CubeGrid& cubes) const {
  const VolumeInfo& info = data_->info(volume);
  const Extent extent = {info.slices, info.rows, info.columns}, shrinking = cubes.shrinking();
  const bool turns = views_.rotation > 0;
  double diagonal = 0;  // mm
  for (size_t i = 0; i < 3; ++i) diagonal += std::pow(cubes.length()[i] * info.spacing[i], 2);
  int64_t values = 1;
  for (size_t i = 0; i < 3; ++i) {
    const double longest = turns ? std::sqrt(diagonal) / info.spacing[i] : cubes.length()[i];
    const double reach = longest / (1 - std::min(views_.scale, 0.9));
    const auto margin = static_cast<int64_t>(4 + 4 * shrinking[i] + 2 * std::ceil(views_.anisotropy_factor[1]));
    values *= std::min(extent[i], static_cast<int64_t>(std::ceil(reach)) + margin) / shrinking[i] + 1;
  }
  return values;
}

std::vector<std::string> CubeReader::remarks() const {
  std::vector<std::string> all;
  if (!padded_.empty())
    all.push_back(c10::str(padded_.size(), padded_.size() == 1 ? " volume is" : " volumes are",
                           " smaller than the cube of ", text_of(views_.size),
                           " voxels and padded by the border: ", some_names(padded_)));
  if (airy_ > 0)
    all.push_back(c10::str(airy_.load(), " of ", drawn_.load(), " cubes hold more than ", 100 * views_.most_air,
                           " % air: the least airy of ", most_draws, " draws was taken"));
  if (dense_ > 0)
    all.push_back(c10::str(dense_.load(), " of ", drawn_.load(), " cubes hold more than ", 100 * views_.most_tissue,
                           " % of dense tissue: the least dense of ", most_draws, " draws was taken"));
  if (together_ > 0)
    all.push_back(c10::str(together_.load(), " cubes found no place with an intersection over union of ", views_.iou,
                           " and lie where the first one of their sample does"));
  return all;
}

}  // namespace ivory::data
