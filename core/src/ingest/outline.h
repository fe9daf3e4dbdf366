#pragma once
// Outlines of structures on a slice.

#include <ivory/torch.h>

#include <array>
#include <vector>

namespace ivory::ingest {

using Outline = std::vector<std::array<int64_t, 2>>;  // column, row of each point; closed

// Sets the pixels inside the outline, without those that are on a point of it, in an int16 slice [rows, columns]. What
// lies outside the slice is left out.
void fill_inside(const Outline& outline, int16_t value, torch::Tensor slice);

}  // namespace ivory::ingest
