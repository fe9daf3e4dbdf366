#pragma once
// A slice and its mask for a downstream task: resized, and changed alike by a random flip, rotation and scale.

#include <ivory/random.h>

#include <span>

#include "data/intensity.h"
#include "data/loader.h"

namespace ivory::data {

// From label ids to class indices: class c + 1 is made of the ids classes[c], everything else is 0. Of overlapping
// classes, an id becomes the sum of 2^c over all that have it.
class ClassTable {
 public:
  // Throws bad_request when an id is out of range or, unless they overlap, belongs to two classes.
  explicit ClassTable(const std::vector<std::vector<int64_t>>& classes, bool overlapping = false);
  int64_t operator[](int16_t label) const { return label < 0 ? 0 : table_[static_cast<size_t>(label)]; }

 private:
  std::vector<int64_t> table_;
};

struct SliceAugmentation {
  bool flip = false;    // left-right
  double rotation = 0;  // radians, in the plane in mm
  double scale = 1;     // > 1 enlarges
  Tone tone;
};

// Flip 1/2, rotation ± 10°, scale ± 10 %, tones of strength 0.3.
SliceAugmentation draw_augmentation(CounterRandom& random);

// image: [size, size], bilinear, normalised; mask: [size, size], the class at the same place by nearest neighbour.
void render_labelled_slice(const DataSet& data, int64_t volume, int64_t slice, const ClassTable& classes,
                           const SliceAugmentation& augmentation, int64_t size, float* image, int64_t* mask);

// The mask alone, unchanged: [height, width].
void read_mask(const DataSet& data, int64_t volume, int64_t slice, const ClassTable& classes, int64_t height,
               int64_t width, int64_t* mask);
// The slice of `slices` that is nearest to the middle of frame `frame` of `frames`.
int64_t slice_of_frame(int64_t frame, int64_t frames, int64_t slices);

bool holds_target(const DataSet& data, int64_t volume, int64_t slice, const ClassTable& classes);

// Label ids of a whole slice, in the calling thread's scratch: valid until its next call.
std::span<const int16_t> read_labels(const DataSet& data, int64_t volume, int64_t slice);

}  // namespace ivory::data
