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
  for (const int32_t volume : volumes)
    if (!grid(volume).fits()) padded_.push_back(data_->info(volume).name);
  IVORY_CHECK(padded_.empty() || views_.pad, "cubes of ", text_of(views_.size), " voxels do not fit into ",
              padded_.size(), " of ", volumes.size(), " volumes: ", some_names(padded_),
              "; expected larger volumes, or pad = true");
}

void CubeReader::read(int64_t volume, const VolumeBox& box, const VolumeTransform& transform, const Extent& size,
                      GreyVolume& out) const {
  read_part(*data_, volume, part_needed(data_->info(volume), box, transform, size, grid(volume).shrinking()), out);
}

VolumeBox CubeReader::draw(int64_t volume, const VolumeTransform& transform, c10::function_ref<VolumeBox()> draw,
                           GreyVolume& out) const {
  thread_local GreyVolume candidate;
  VolumeBox best;
  double least = 2;
  for (int64_t i = 0; i < most_draws; ++i) {
    const VolumeBox box = draw();
    read(volume, box, transform, views_.size, i == 0 ? out : candidate);
    if (views_.most_air >= 1) return box;
    const double air = share_below(i == 0 ? out : candidate, box, views_.air_below);
    if (air < least) {
      if (i > 0) std::swap(out, candidate);
      least = air, best = box;
    }
    if (least <= views_.most_air) break;
  }
  ++drawn_;
  if (least > views_.most_air) ++airy_;
  return best;
}

int64_t CubeReader::most_values(int64_t volume) const {
  const VolumeInfo& info = data_->info(volume);
  const CubeGrid cubes = grid(volume);
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
  return all;
}

}  // namespace ivory::data
