#pragma once
// Embeddings as the clustering objectives take them.
#include "support/golden.h"

namespace ivory::test {

// fill() with rows of unit length: [count, width].
inline torch::Tensor unit_rows(int64_t count, int64_t width, uint64_t salt) {
  const auto rows = fill({count, width}, salt);
  return rows / rows.norm(2, 1, /*keepdim=*/true);
}

}  // namespace ivory::test
