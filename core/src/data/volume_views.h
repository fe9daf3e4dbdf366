#pragma once
// The views of a sample of volumes: whole ones, kept decoded, or cubes, of which no more is decoded than they need.

#include "data/cube_reader.h"
#include "data/sampler.h"
#include "data/volume_cache.h"

namespace ivory::data {

// One view, before it is rendered.
struct DrawnView {
  int64_t number = 0;  // of the sample's views
  int64_t source = 0;  // of the specification's sources
  const GreyVolume* volume = nullptr;
  std::shared_ptr<const GreyVolume> kept;  // the same where the cache holds it, else it is valid within the call only
  VolumeTransform transform;
  VolumeJob job;
  CounterRandom random;  // of the noise
};

// [B, 3, 4] float64, on the CPU, and its entry of one sample.
inline torch::Tensor empty_places(int64_t samples) {
  return torch::empty({samples, 3, 4}, torch::kFloat64);
}
inline std::span<double, 12> place_of(const View& view, int64_t position) {
  return std::span<double, 12>(view.place.data_ptr<double>() + 12 * position, 12);
}

class VolumeViews {
 public:
  // Throws bad_request where the views do not fit the data.
  VolumeViews(std::shared_ptr<const DataSet> data, const VolumeViewSpec& views, const LoaderOptions& options);

  const VolumeViewSpec& spec() const { return views_; }
  int64_t voxels() const { return views_.size[0] * views_.size[1] * views_.size[2]; }
  bool cubes() const { return cubes_ != nullptr; }
  void draw(const Draw& draw, int64_t epoch, c10::function_ref<void(DrawnView&)> use) const;
  // An upper bound of the values that the views of a sample are rendered from.
  int64_t most_values() const;
  std::vector<std::string> remarks() const { return cubes_ ? cubes_->remarks() : std::vector<std::string>(); }

 private:
  CounterRandom stream(uint64_t seed, const Draw& draw, int64_t view, int64_t epoch) const;
  void draw_whole(const Draw& draw, int64_t epoch, c10::function_ref<void(DrawnView&)> use) const;
  void draw_cubes(const Draw& draw, int64_t epoch, c10::function_ref<void(DrawnView&)> use) const;

  std::shared_ptr<const DataSet> data_;
  VolumeViewSpec views_;
  uint64_t seed_;
  mutable std::unique_ptr<VolumeCache> whole_;  // one of the two
  std::unique_ptr<const CubeReader> cubes_;
};

}  // namespace ivory::data
