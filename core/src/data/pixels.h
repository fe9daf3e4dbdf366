#pragma once
// The native types of stored values, and values whose bytes lie in planes after HDF5's shuffle filter.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace ivory::data {

enum class PixelType { uint8, int16, uint16, float32 };

// "uint8", "int16", "uint16", "float32"; throws bad_request on anything else.
PixelType pixel_type(const std::string& name);
size_t bytes_of(PixelType type);

// Pixels [row, row + rows) × [column, column + columns) of a slice.
struct Box {
  int64_t row = 0, column = 0, rows = 0, columns = 0;
};

// Byte k of value i is plane[k][i * stride]: stride 1 after the shuffle filter, the value's width without it.
struct Planes {
  std::array<const uint8_t*, 4> plane{};
  size_t stride = 1;
};

// Values [first, first + count) as (value - low) · scale, clamped to 0 … 1; NaN becomes 0.
void decode_window(const Planes& planes, PixelType type, size_t first, size_t count, float low, float scale,
                   float* out);
// Values [0, count) in native byte order.
void unshuffle(const Planes& planes, size_t width, size_t count, uint8_t* out);

}  // namespace ivory::data
