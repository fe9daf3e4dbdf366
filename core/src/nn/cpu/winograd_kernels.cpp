#include "nn/cpu/winograd_kernels.h"

#include <array>

// One version per instruction set, chosen when the library is loaded.
#define IVORY_VERSIONS IVORY_CLONES("avx512f", "avx2", "default")
#define IVORY_INLINE inline __attribute__((always_inline))

namespace ivory::nn::winograd {
namespace {

template <int size>
using Line = std::array<float, size>;

// The one-dimensional transforms; a two-dimensional one applies its own to columns, then to rows.
struct Input {  // Bᵀ
  static constexpr int in = 4, out = 4;
  IVORY_INLINE static Line<4> apply(const Line<4>& d) { return {d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]}; }
};
struct Output {  // Aᵀ
  static constexpr int in = 4, out = 2;
  IVORY_INLINE static Line<2> apply(const Line<4>& m) { return {m[0] + m[1] + m[2], m[1] - m[2] - m[3]}; }
};
struct Gradient {  // A
  static constexpr int in = 2, out = 4;
  IVORY_INLINE static Line<4> apply(const Line<2>& g) { return {g[0], g[0] + g[1], g[0] - g[1], -g[1]}; }
};
struct Weight {  // G
  static constexpr int in = 3, out = 4;
  IVORY_INLINE static Line<4> apply(const Line<3>& w) {
    const float outer = 0.5f * (w[0] + w[2]), inner = 0.5f * w[1];
    return {w[0], outer + inner, outer - inner, w[2]};
  }
};
struct WeightGradient {  // Gᵀ
  static constexpr int in = 4, out = 3;
  IVORY_INLINE static Line<3> apply(const Line<4>& u) {
    const float sum = 0.5f * (u[1] + u[2]);
    return {u[0] + sum, 0.5f * (u[1] - u[2]), sum + u[3]};
  }
};

// to[r · out + s] = Σ T[r][i] T[s][j] from[i · in + j], for each channel; no vector of `to` overlaps one of `from`.
template <class T>
IVORY_INLINE void transform(const float* const* from, float* const* to, int64_t channels) {
#pragma clang loop vectorize(assume_safety) interleave_count(1)
  for (int64_t c = 0; c < channels; ++c) {
    Line<T::in> half[T::out];
#pragma clang loop unroll(full)
    for (int j = 0; j < T::in; ++j) {
      Line<T::in> column;
#pragma clang loop unroll(full)
      for (int i = 0; i < T::in; ++i) column[i] = from[i * T::in + j][c];
      const Line<T::out> result = T::apply(column);
#pragma clang loop unroll(full)
      for (int r = 0; r < T::out; ++r) half[r][j] = result[r];
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < T::out; ++r) {
      const Line<T::out> result = T::apply(half[r]);
#pragma clang loop unroll(full)
      for (int s = 0; s < T::out; ++s) to[r * T::out + s][c] = result[s];
    }
  }
}

// Pointers to size × size pixels whose first is `offset` before the tile's first; `outside` stands for the others.
template <int size, class Pointer>
IVORY_INLINE void pixels(Pointer plane_data, const Plane& plane, int64_t tile, int64_t offset, Pointer outside,
                         Pointer* found) {
  const int64_t image = tile / plane.tiles_per_image(), place = tile % plane.tiles_per_image();
  const int64_t top = place / plane.columns() * 2 - offset, left = place % plane.columns() * 2 - offset;
  for (int64_t r = 0; r < size; ++r) {
    for (int64_t s = 0; s < size; ++s) {
      const int64_t y = top + r, x = left + s;
      const bool inside = image < plane.images && y >= 0 && y < plane.height && x >= 0 && x < plane.width;
      const int64_t at = ((image * plane.height + y) * plane.width + x) * plane.channels;
      found[r * size + s] = inside ? plane_data + at : outside;
    }
  }
}

template <int count, class Pointer>
IVORY_INLINE void matrices(Pointer base, int64_t stride, int64_t at, Pointer* found) {
  for (int p = 0; p < count; ++p) found[p] = base + p * stride + at;
}

}  // namespace

IVORY_VERSIONS void input_tiles(const float* x, const Plane& plane, const Block& block, const float* zeros,
                                float* out) {
  const float* from[16];
  float* to[16];
  for (int64_t tile = block.begin; tile < block.end; ++tile) {
    pixels<4>(x, plane, tile, 1, zeros, from);
    matrices<16>(out, block.stride, (tile - block.first) * plane.channels, to);
    transform<Input>(from, to, plane.channels);
  }
}

IVORY_VERSIONS void gradient_tiles(const float* grad, const Plane& plane, const Block& block, const float* zeros,
                                   float* out) {
  const float* from[4];
  float* to[16];
  for (int64_t tile = block.begin; tile < block.end; ++tile) {
    pixels<2>(grad, plane, tile, 0, zeros, from);
    matrices<16>(out, block.stride, (tile - block.first) * plane.channels, to);
    transform<Gradient>(from, to, plane.channels);
  }
}

IVORY_VERSIONS void output_tiles(const float* in, const Plane& plane, const Block& block, float* sink, float* y) {
  const float* from[16];
  float* to[4];
  for (int64_t tile = block.begin; tile < block.end; ++tile) {
    matrices<16>(in, block.stride, (tile - block.first) * plane.channels, from);
    pixels<2>(y, plane, tile, 0, sink, to);
    transform<Output>(from, to, plane.channels);
  }
}

IVORY_VERSIONS void weight_rows(const float* weight, int64_t rows, int64_t channels, int64_t begin, int64_t end,
                                bool flipped, float* out) {
  const float* from[9];
  float* to[16];
  for (int64_t row = begin; row < end; ++row) {
    for (int k = 0; k < 9; ++k) from[k] = weight + (row * 9 + (flipped ? 8 - k : k)) * channels;
    matrices<16>(out, rows * channels, row * channels, to);
    transform<Weight>(from, to, channels);
  }
}

IVORY_VERSIONS void weight_gradient_rows(const float* in, int64_t rows, int64_t channels, int64_t begin, int64_t end,
                                         float* grad) {
  const float* from[16];
  float* to[9];
  for (int64_t row = begin; row < end; ++row) {
    matrices<16>(in, rows * channels, row * channels, from);
    for (int k = 0; k < 9; ++k) to[k] = grad + (row * 9 + k) * channels;
    transform<WeightGradient>(from, to, channels);
  }
}

}  // namespace ivory::nn::winograd
