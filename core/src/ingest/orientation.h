#pragma once
// Which way up a picture is to be seen: the tag "Orientation" of EXIF and TIFF, 1 … 8.

#include <ivory/torch.h>

#include <cstdint>
#include <span>

namespace ivory::ingest {

// The orientation in a block of EXIF data, which is a TIFF without pictures; 1, as stored, where it has none.
int exif_orientation(std::span<const uint8_t> block);

// Whether the file's rows are the columns of the picture.
bool is_turned(int orientation);

// [slices, rows, columns, channels] as stored → as they are to be seen.
torch::Tensor upright(const torch::Tensor& pixels, int orientation);

}  // namespace ivory::ingest
