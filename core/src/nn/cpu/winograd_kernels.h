#pragma once
// The transforms of winograd.cpp, vectorised over channels. A plane is cut into tiles of 2×2 pixels; a tile's values in
// the transformed domain are 16 vectors, the p-th at `base + p · stride + slot · channels`. Tiles are counted over all
// images; of a block that starts at tile `first`, tile t has the slot t − first.

#include <cstdint>

#include "base/vectorised.h"

namespace ivory::nn {
namespace winograd IVORY_HIDDEN {

struct Plane {
  int64_t images, height, width, channels;
  int64_t columns() const { return (width + 1) / 2; }
  int64_t tiles_per_image() const { return (height + 1) / 2 * columns(); }
  int64_t tiles() const { return images * tiles_per_image(); }
};

struct Block {
  int64_t first, begin, end;  // first tile of the block; tiles of this call: past the last they read as zeros
  int64_t stride;             // floats between two of the 16 matrices
};

// Bᵀ d B of the 4×4 pixels around each tile.
void input_tiles(const float* x, const Plane& plane, const Block& block, const float* zeros, float* out);
// A g Aᵀ of each tile's 2×2 pixels.
void gradient_tiles(const float* grad, const Plane& plane, const Block& block, const float* zeros, float* out);
// Aᵀ m A into each tile's pixels; `sink` [channels] takes what lies outside the plane.
void output_tiles(const float* in, const Plane& plane, const Block& block, float* sink, float* y);
// G w Gᵀ for rows begin … end of weight [rows, 9, channels] into out [16, rows, channels]; `flipped` turns each kernel.
void weight_rows(const float* weight, int64_t rows, int64_t channels, int64_t begin, int64_t end, bool flipped,
                 float* out);
// Gᵀ u G for rows begin … end of in [16, rows, channels] into grad [rows, 9, channels].
void weight_gradient_rows(const float* in, int64_t rows, int64_t channels, int64_t begin, int64_t end, float* grad);

}  // namespace IVORY_HIDDEN
}  // namespace ivory::nn
