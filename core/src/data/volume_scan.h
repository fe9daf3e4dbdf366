#pragma once
// One pass over the slices of one stored volume.

#include "data/fingerprint.h"

namespace ivory::base {
class File;
}

namespace ivory::data {

struct StoredReader;

// Sums over volumes.
struct ModalityCounts {
  Distribution all, labelled;
};
using CountsByModality = std::map<std::string, ModalityCounts>;

// One a thread.
class VolumeScanner {
 public:
  // `view`: receives the middle slices, unless null.
  VolumeFinding scan(const StoredReader& volume, VolumeView* view);
  const CountsByModality& counts() const { return counts_; }

 private:
  void read_labels(const StoredReader& volume, const base::File& file, int64_t slice);
  std::vector<LabelCount> take_labels(const VolumeInfo& info);

  CountsByModality counts_;
  Distribution volume_;
  std::vector<uint8_t> values_;
  std::vector<int16_t> labels_;
  std::vector<uint64_t> label_voxels_;
};

}  // namespace ivory::data
