#pragma once
// Draws cubes of volumes and reads what their views need.

#include <c10/util/FunctionRef.h>

#include <atomic>
#include <memory>
#include <span>
#include <string>

#include "data/cube.h"
#include "data/volume_part.h"

namespace ivory::data {

// Mixed into the seed: where cubes lie, however often they are drawn.
inline constexpr uint64_t cube_stream = 6;

// "a, b, c and 4 more".
std::string some_names(const std::vector<std::string>& names);

struct PlacedCube {
  VolumeBox box;
  int64_t source = 0;  // of VolumeViewSpec::sources
};

// Safe to use from several threads.
class CubeReader {
 public:
  static constexpr int64_t most_draws = 32;  // of a cube, until it holds no more air and tissue than it may

  // Throws bad_request where a volume does not fit the cubes and may not be padded.
  CubeReader(std::shared_ptr<const DataSet> data, const VolumeViewSpec& views, std::span<const int32_t> volumes);

  CubeGrid grid(int64_t volume) const { return {data_->info(volume), views_}; }
  // Where a cube lies, beside the first one of a sample where that is given.
  PlacedCube place(int64_t volume, const PlacedCube* first, CounterRandom& random) const;
  // What a view of `box` needs of the volume, and `further` slices behind it.
  void read(int64_t volume, const VolumeBox& box, const VolumeTransform& transform, const Extent& size, GreyVolume& out,
            int64_t further = 0) const;
  // Reads the first cube that `draw` gives which holds no more air and tissue than it may, else the one nearest to it.
  PlacedCube draw(int64_t volume, const VolumeTransform& transform, c10::function_ref<PlacedCube()> draw,
                  GreyVolume& out) const;
  // An upper bound of the values that a view's part of a volume has.
  int64_t most_values(int64_t volume) const;

  // What the data did not allow, one sentence each.
  std::vector<std::string> remarks() const;

 private:
  CubeGrid grid_of(int64_t volume, int64_t source) const;
  int64_t most_values(int64_t volume, const CubeGrid& cubes) const;

  std::shared_ptr<const DataSet> data_;
  VolumeViewSpec views_;
  std::vector<std::string> padded_;  // volumes smaller than a cube
  mutable std::atomic<int64_t> drawn_ = 0, airy_ = 0, dense_ = 0, together_ = 0;
};

}  // namespace ivory::data
