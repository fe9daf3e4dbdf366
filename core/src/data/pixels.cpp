#include "data/pixels.h"

#include <ivory/error.h>

#include <cstring>

#include "base/vectorised.h"
#include "data/view_math.h"

namespace ivory::data {

// Named, not anonymous: GCC's multi-versioning needs symbols.
namespace kernels IVORY_HIDDEN {

using view_math::windowed;

IVORY_VECTORISED void bytes(const uint8_t* in, size_t count, float low, float scale, float* __restrict out) {
  for (size_t i = 0; i < count; ++i) out[i] = windowed(in[i], low, scale);
}

IVORY_VECTORISED void signed_planes(const uint8_t* first, const uint8_t* second, size_t count, float low, float scale,
                                    float* __restrict out) {
  for (size_t i = 0; i < count; ++i) {
    const auto value = static_cast<int16_t>(static_cast<uint16_t>(first[i] | (second[i] << 8)));
    out[i] = windowed(value, low, scale);
  }
}

IVORY_VECTORISED void unsigned_planes(const uint8_t* first, const uint8_t* second, size_t count, float low, float scale,
                                      float* __restrict out) {
  for (size_t i = 0; i < count; ++i) {
    const auto value = static_cast<uint16_t>(first[i] | (second[i] << 8));
    out[i] = windowed(value, low, scale);
  }
}

template <class T>
void interleaved(const uint8_t* in, size_t count, float low, float scale, float* out) {
  for (size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, in + i * sizeof(T), sizeof(T));
    out[i] = windowed(static_cast<float>(value), low, scale);
  }
}

void float_planes(const Planes& planes, size_t first, size_t count, float low, float scale, float* out) {
  for (size_t i = first; i < first + count; ++i) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 4; ++k) bits |= uint32_t{planes.plane[k][i]} << (8 * k);
    float value;
    std::memcpy(&value, &bits, sizeof value);
    *out++ = windowed(value, low, scale);
  }
}

IVORY_VECTORISED void join_pairs(const uint8_t* first, const uint8_t* second, size_t count, uint8_t* __restrict out) {
  for (size_t i = 0; i < count; ++i) {
    out[2 * i] = first[i];
    out[2 * i + 1] = second[i];
  }
}

}  // namespace IVORY_HIDDEN

PixelType pixel_type(const std::string& name) {
  if (name == "uint8") return PixelType::uint8;
  if (name == "int16") return PixelType::int16;
  if (name == "uint16") return PixelType::uint16;
  if (name == "float32") return PixelType::float32;
  throw bad_request("pixel type \"", name, "\", expected uint8, int16, uint16 or float32");
}

size_t bytes_of(PixelType type) {
  return type == PixelType::uint8 ? 1 : type == PixelType::float32 ? 4 : 2;
}

void decode_window(const Planes& planes, PixelType type, size_t first, size_t count, float low, float scale,
                   float* out) {
  const auto& plane = planes.plane;
  const bool shuffled = planes.stride == 1;
  const uint8_t* start = plane[0] + first * planes.stride;
  switch (type) {
    case PixelType::uint8:
      return kernels::bytes(start, count, low, scale, out);
    case PixelType::int16:
      if (!shuffled) return kernels::interleaved<int16_t>(start, count, low, scale, out);
      return kernels::signed_planes(start, plane[1] + first, count, low, scale, out);
    case PixelType::uint16:
      if (!shuffled) return kernels::interleaved<uint16_t>(start, count, low, scale, out);
      return kernels::unsigned_planes(start, plane[1] + first, count, low, scale, out);
    case PixelType::float32:
      if (!shuffled) return kernels::interleaved<float>(start, count, low, scale, out);
      return kernels::float_planes(planes, first, count, low, scale, out);
  }
}

void unshuffle(const Planes& planes, size_t width, size_t count, uint8_t* out) {
  if (planes.stride == width) {
    std::memcpy(out, planes.plane[0], count * width);
  } else if (width == 2) {
    kernels::join_pairs(planes.plane[0], planes.plane[1], count, out);
  } else {
    for (size_t i = 0; i < count; ++i)
      for (size_t k = 0; k < width; ++k) out[i * width + k] = planes.plane[k][i];
  }
}

}  // namespace ivory::data
