#pragma once
// Small caches with known content, in folders that end with the test.

#include <ivory/error.h>
#include <ivory/random.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "data/loader.h"
#include "data/slice_cache.h"

namespace ivory::data::testing {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ivory-data-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct VolumeShape {
  int64_t slices = 5, rows = 12, columns = 10;
};

// Smooth ramps with noise, different in every volume; with labels: ids 0 … 3 in blocks, none in even slices.
inline VolumeData make_volume(const std::string& name, const VolumeShape& shape, const std::string& dtype = "int16",
                              bool with_labels = true, uint64_t seed = 1) {
  VolumeData volume;
  VolumeInfo& info = volume.info;
  info.name = name;
  info.patient = "patient of " + name;
  info.modality = "ct";
  info.source_file = "/data/" + name + ".nii.gz";
  info.source_hash = "00112233445566778899aabbccddeeff";
  info.spacing = {2.5, 0.7, 0.8};
  info.origin = {-1, -2, -3};
  info.dtype = dtype;
  info.slices = shape.slices, info.rows = shape.rows, info.columns = shape.columns;
  info.notes = "reoriented from LPS";
  const bool bytes = dtype == "uint8";
  info.window = bytes ? std::array<double, 2>{0, 255} : std::array<double, 2>{0, 2000};
  const torch::Tensor values = torch::empty({shape.slices, shape.rows, shape.columns}, torch::kFloat64);
  auto* value = values.data_ptr<double>();
  CounterRandom random(seed, 0, std::hash<std::string>{}(name), 0);
  for (int64_t z = 0; z < shape.slices; ++z)
    for (int64_t y = 0; y < shape.rows; ++y)
      for (int64_t x = 0; x < shape.columns; ++x)
        *value++ = bytes ? static_cast<double>(random.below(256))
                         : std::floor(40.0 * static_cast<double>(z + y) + 10.0 * static_cast<double>(x) +
                                      static_cast<double>(random.below(50)));
  const auto type = bytes               ? torch::kUInt8
                    : dtype == "int16"  ? torch::kInt16
                    : dtype == "uint16" ? torch::kUInt16
                                        : torch::kFloat32;
  volume.pixels = values.to(type);
  if (with_labels) {
    volume.labels = torch::zeros({shape.slices, shape.rows, shape.columns}, torch::kInt16);
    auto* label = volume.labels.data_ptr<int16_t>();
    for (int64_t z = 1; z < shape.slices; z += 2)
      for (int64_t y = 0; y < shape.rows; ++y)
        for (int64_t x = 0; x < shape.columns; ++x)
          label[(z * shape.rows + y) * shape.columns + x] =
              static_cast<int16_t>((y >= shape.rows / 2 ? 1 : 0) + (x >= shape.columns / 2 ? 2 : 0));
  }
  return volume;
}

// The message and the code of what `body` throws.
struct Failure {
  std::string message;
  ExitCode code = ExitCode::done;
};
template <class Body>
Failure failure_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return {error.what(), error.code()};
  }
  return {};
}

inline void write_cache(const std::filesystem::path& folder, const std::vector<VolumeData>& volumes,
                        const std::string& identity = "test") {
  SliceCacheWriter writer(folder, identity);
  for (const VolumeData& volume : volumes) writer.add(volume);
  writer.finish();
}

inline std::shared_ptr<const DataSet> open_data_set(const std::filesystem::path& folder) {
  return std::make_shared<const DataSet>(
      std::vector<std::shared_ptr<const SliceCache>>{std::make_shared<const SliceCache>(folder)});
}

// The window's values as the cache should deliver them.
inline torch::Tensor expected_pixels(const VolumeData& volume) {
  const auto& window = volume.info.window;
  return ((volume.pixels.to(torch::kFloat64) - window[0]) / (window[1] - window[0])).clamp(0, 1).to(torch::kFloat32);
}

}  // namespace ivory::data::testing
