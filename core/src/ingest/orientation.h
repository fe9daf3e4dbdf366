#pragma once
// Which way up a picture is to be seen: the tag "Orientation" of EXIF and TIFF, 1 … 8.

#include <ivory/torch.h>

#include <cstdint>
#include <span>
#include <string_view>

namespace ivory::ingest {

// The orientation in a block of EXIF data, which is a TIFF without pictures; 1, as stored, where it has none.
int exif_orientation(std::span<const uint8_t> block);

// In a packet of XMP (tiff:Orientation, as an attribute or an element), and in what ImageMagick puts into a PNG as a
// text: EXIF in hexadecimal digits behind two lines. 1 where there is none.
int xmp_orientation(std::string_view packet);
int raw_profile_orientation(std::string_view text);

// Whether the file's rows are the columns of the picture.
bool is_turned(int orientation);

// [slices, rows, columns, channels] as stored → as they are to be seen.
torch::Tensor upright(const torch::Tensor& pixels, int orientation);

}  // namespace ivory::ingest
