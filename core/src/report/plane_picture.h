#pragma once
// Middle slices of a volume as a picture, labels in colour.

#include <string>
#include <vector>

#include "data/fingerprint.h"

namespace ivory::experiment {

// "#0072b2": of the label that stands at `index` in the list of all labels; colours are used again after the last.
std::string label_colour(size_t index);

// Axial, coronal and sagittal plane side by side on black, [3, H, W] uint8: one scale for the three, square pixels, the
// longest side `longest` pixels. Labels that `ids` does not list stay grey.
torch::Tensor draw_planes(const data::VolumeView& view, const std::vector<int32_t>& ids, int64_t longest);

}  // namespace ivory::experiment
