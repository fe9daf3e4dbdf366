#pragma once
// Boxes of findings on an image, and the label map that holds them.

#include <ivory/torch.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace ivory::ingest {

struct Box {
  int64_t finding = 0;                        // from 0
  std::array<double, 4> edge = {0, 0, 0, 0};  // left, top, right, bottom, in pixels
};

double overlap(const Box& a, const Box& b);  // intersection over union

// Boxes of one finding that overlap (IoU ≥ threshold with the first of a group) are drawn by several readers: their
// mean.
std::vector<Box> merged(const std::vector<Box>& boxes, double threshold);

// int16 [1, rows, columns]: the sum of 2^finding over the findings whose box holds the pixel's centre.
torch::Tensor drawn(const std::vector<Box>& boxes, int64_t rows, int64_t columns);

// "FINDING LEFT TOP RIGHT BOTTOM;" each.
std::string to_text(const std::vector<Box>& boxes);
std::vector<Box> boxes_from_text(const std::string& text);

}  // namespace ivory::ingest
