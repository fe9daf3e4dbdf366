#include "nn/cpu/winograd.h"

#include <ATen/Parallel.h>

#include "nn/cpu/winograd_kernels.h"
#include "nn/parallel.h"

namespace ivory::nn {
namespace {

using torch::Tensor;
using winograd::Block;
using winograd::Plane;

constexpr int64_t block_bytes = 12 << 20;  // of transformed tiles at a time: they stay in the last-level cache

Plane plane_of(const Tensor& x) {
  return {x.size(0), x.size(2), x.size(3), x.size(1)};
}

// `begin, end` of each thread's share of `count`.
template <class Body>
void share(int64_t count, const Body& body) {
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), count);
  parallel(threads, [&](int64_t thread) { body(count * thread / threads, count * (thread + 1) / threads); });
}

// Blocks of equal size for matrices of `channels` columns in all. An odd number of tiles keeps the 16 matrices of a
// block apart in the cache's sets.
template <class Body>
void over_blocks(const Plane& plane, int64_t channels, const Body& body) {
  const int64_t bytes = 16 * channels * static_cast<int64_t>(sizeof(float)), total = plane.tiles();
  const int64_t blocks = std::max<int64_t>(1, (total * bytes + block_bytes - 1) / block_bytes);
  const int64_t tiles = (total + blocks - 1) / blocks | 1;
  body(tiles, [&](const auto& each) {
    for (int64_t first = 0; first < total; first += tiles) each(first);
  });
}

using Transform = void (*)(const float*, const Plane&, const Block&, const float*, float*);

void transform_tiles(Transform transform, const Tensor& x, int64_t first, const Tensor& zeros, const Tensor& out) {
  const Plane plane = plane_of(x);
  share(out.size(1), [&](int64_t begin, int64_t end) {
    transform(x.data_ptr<float>(), plane, {first, first + begin, first + end, out.stride(0)}, zeros.data_ptr<float>(),
              out.data_ptr<float>());
  });
}

Tensor transformed_weight(const Tensor& weight, bool flipped) {  // [16, Co, Ci]
  Tensor u = torch::empty({16, weight.size(0), weight.size(1)}, weight.options());
  share(u.size(1), [&](int64_t begin, int64_t end) {
    winograd::weight_rows(weight.data_ptr<float>(), u.size(1), u.size(2), begin, end, flipped, u.data_ptr<float>());
  });
  return u;
}

// y = Aᵀ [(Bᵀ x B) · u] A, tile by tile; u [16, channels of x, channels of y].
Tensor filter(const Tensor& x, const Tensor& u) {
  Tensor y = torch::empty({x.size(0), u.size(2), x.size(2), x.size(3)},
                          x.options().memory_format(torch::MemoryFormat::ChannelsLast));
  const Plane plane = plane_of(y);
  const Tensor zeros = torch::zeros({x.size(1)}, x.options());
  over_blocks(plane, u.size(1) + u.size(2), [&](int64_t tiles, const auto& for_each_block) {
    const Tensor v = torch::empty({16, tiles, u.size(1)}, x.options());
    Tensor m = torch::empty({16, tiles, u.size(2)}, x.options());
    for_each_block([&](int64_t first) {
      transform_tiles(winograd::input_tiles, x, first, zeros, v);
      at::bmm_out(m, v, u);
      share(std::min(tiles, plane.tiles() - first), [&](int64_t begin, int64_t end) {
        std::vector<float> sink(plane.channels);
        winograd::output_tiles(m.data_ptr<float>(), plane, {first, first + begin, first + end, m.stride(0)},
                               sink.data(), y.data_ptr<float>());
      });
    });
  });
  return y;
}

}  // namespace

Tensor winograd_forward(const Tensor& x, const Tensor& weight) {
  return filter(x, transformed_weight(weight, /*flipped=*/false).transpose(1, 2));
}

Tensor winograd_grad_input(const Tensor& grad, const Tensor& weight) {
  return filter(grad, transformed_weight(weight, /*flipped=*/true));
}

// dw = Gᵀ [Σ over tiles (A g Aᵀ)ᵀ · (Bᵀ x B)] G
Tensor winograd_grad_weight(const Tensor& x, const Tensor& grad) {
  const int64_t in = x.size(1), out = grad.size(1);
  Tensor sum = torch::zeros({16, out, in}, x.options());
  const Tensor zeros = torch::zeros({std::max(in, out)}, x.options());
  over_blocks(plane_of(x), in + out, [&](int64_t tiles, const auto& for_each_block) {
    const Tensor v = torch::empty({16, tiles, in}, x.options()), g = torch::empty({16, tiles, out}, x.options());
    for_each_block([&](int64_t first) {
      transform_tiles(winograd::input_tiles, x, first, zeros, v);
      transform_tiles(winograd::gradient_tiles, grad, first, zeros, g);
      sum.baddbmm_(g.transpose(1, 2), v);
    });
  });
  Tensor grad_weight = torch::empty({out, in, 3, 3}, x.options().memory_format(torch::MemoryFormat::ChannelsLast));
  share(out, [&](int64_t begin, int64_t end) {
    winograd::weight_gradient_rows(sum.data_ptr<float>(), out, in, begin, end, grad_weight.data_ptr<float>());
  });
  return grad_weight;
}

}  // namespace ivory::nn
