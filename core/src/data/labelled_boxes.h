#pragma once
// Images with the boxes of their findings, for detection.

#include <ivory/random.h>

#include "data/labelled_slice.h"

namespace ivory::data {

// Of a slice, in pixels as stored: the volume's marked boxes; where nobody marked any but there is a label map, the box
// around each connected region (neighbours on eight sides) of each class.
std::vector<MarkedBox> boxes_of_slice(const DataSet& data, int64_t volume, int64_t slice, const ClassTable& classes);

// Which part of a slice becomes the sample.
struct BoxAugmentation {
  Box part;
  bool flip = false;  // left-right
  Tone tone;
};

// Flip 1/2, tones of strength 0.3, and a random part that holds all boxes but for a fifth of their width and height on
// each side.
BoxAugmentation draw_box_augmentation(CounterRandom& random, const std::vector<MarkedBox>& boxes, int64_t rows,
                                      int64_t columns);

// The boxes at size × size pixels, cut at the part's border; those are dropped of which less than half a pixel is left
// in height or width. Classes as in ClassTable; what is no class is left out.
Boxes place_boxes(const std::vector<MarkedBox>& boxes, const ClassTable& classes, const BoxAugmentation& augmentation,
                  int64_t size);

}  // namespace ivory::data
