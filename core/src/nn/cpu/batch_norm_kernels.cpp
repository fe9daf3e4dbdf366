#include "nn/cpu/batch_norm_kernels.h"

#include <bit>

// One version per instruction set, chosen when the library is loaded.
#define IVORY_VERSIONS IVORY_CLONES("avx512f", "avx2", "default")
#define IVORY_INLINE inline __attribute__((always_inline))

namespace ivory::nn::kernels {
namespace {

constexpr int64_t flush_rows = 128;  // float sums of so many rows are added to the doubles: rounding stays below 1e-6

IVORY_INLINE float get(float value) {
  return value;
}
IVORY_INLINE float get(Bf16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}
IVORY_INLINE void put(float value, float& out) {
  out = value;
}
// Round to nearest even; activations are finite, so NaN needs no case of its own (NaN stays NaN or becomes Inf).
IVORY_INLINE void put(float value, Bf16& out) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  out.bits = static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

template <bool relu, bool add, class T>
IVORY_INLINE void normalize_rows(const T* in, const T* residual, T* out, int64_t begin, int64_t end, int64_t channels,
                                 const float* scale, const float* shift) {
  for (int64_t row = begin; row < end; ++row) {
    const T* __restrict x = in + row * channels;
    const T* __restrict r = add ? residual + row * channels : nullptr;
    T* __restrict y = out + row * channels;
    for (int64_t c = 0; c < channels; ++c) {
      float value = get(x[c]) * scale[c] + shift[c];
      if (add) value += get(r[c]);
      if (relu) value = value > 0.0f ? value : 0.0f;
      put(value, y[c]);
    }
  }
}

template <class T>
IVORY_INLINE void normalize_any(const T* in, const T* add, T* out, int64_t begin, int64_t end, int64_t channels,
                                const float* scale, const float* shift, bool relu) {
  if (relu && add) return normalize_rows<true, true>(in, add, out, begin, end, channels, scale, shift);
  if (relu) return normalize_rows<true, false>(in, add, out, begin, end, channels, scale, shift);
  if (add) return normalize_rows<false, true>(in, add, out, begin, end, channels, scale, shift);
  normalize_rows<false, false>(in, add, out, begin, end, channels, scale, shift);
}

// Float sums per channel that are emptied into doubles now and then.
struct Accumulator {
  explicit Accumulator(int64_t width) : sums(2 * width, 0.0f), channels(width) {}
  float* first() { return sums.data(); }
  float* second() { return sums.data() + channels; }
  IVORY_INLINE void flush(double* to_first, double* to_second) {
    for (int64_t c = 0; c < channels; ++c) {
      to_first[c] += sums[c];
      to_second[c] += sums[channels + c];
    }
    std::fill(sums.begin(), sums.end(), 0.0f);
  }
  std::vector<float> sums;
  int64_t channels;
};

template <class T>
IVORY_INLINE void forward_sums_rows(const T* in, const float* pivot, int64_t begin, int64_t end, int64_t channels,
                                    double* first, double* second) {
  Accumulator sums(channels);
  float* __restrict a = sums.first();
  float* __restrict b = sums.second();
  for (int64_t row = begin; row < end; ++row) {
    const T* __restrict x = in + row * channels;
    for (int64_t c = 0; c < channels; ++c) {
      const float value = get(x[c]) - pivot[c];
      a[c] += value;
      b[c] += value * value;
    }
    if ((row - begin) % flush_rows == flush_rows - 1) sums.flush(first, second);
  }
  sums.flush(first, second);
}

IVORY_INLINE float rounded(float value, float) {
  return value;
}
IVORY_INLINE float rounded(float value, Bf16 type) {
  put(value, type);
  return get(type);
}

// The gradient behind the ReLU: from the output's sign where there is a residual, else from the recomputed output's.
template <bool relu, bool masked, bool twice, class T>
IVORY_INLINE float behind_relu(const BackwardRows<T>& job, int64_t at, int64_t c, float x) {
  float g = get(job.grad[at]);
  if (twice) g = rounded(g + get(job.grad2[at]), T());
  if (masked) return get(job.y[at]) > 0.0f ? g : 0.0f;
  if (relu) return x * job.scale[c] + job.shift[c] > 0.0f ? g : 0.0f;
  return g;
}

template <bool relu, bool masked, bool twice, class T>
IVORY_INLINE void backward_sums_rows(const BackwardRows<T> job, int64_t begin, int64_t end, double* first,
                                     double* second) {
  const int64_t channels = job.channels;
  Accumulator sums(channels);
  float* __restrict a = sums.first();
  float* __restrict b = sums.second();
  T* __restrict behind = job.behind;
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t at = row * channels + c;
      const float x = get(job.x[at]);
      const float g = behind_relu<relu, masked, twice>(job, at, c, x);
      if (masked) put(g, behind[at]);
      a[c] += g;
      b[c] += g * (x - job.mean[c]);
    }
    if ((row - begin) % flush_rows == flush_rows - 1) sums.flush(first, second);
  }
  sums.flush(first, second);
}

template <class T>
IVORY_INLINE void backward_sums_any(const BackwardRows<T>& job, int64_t begin, int64_t end, double* first,
                                    double* second) {
  if (job.y && job.grad2) {
    backward_sums_rows<true, true, true>(job, begin, end, first, second);
  } else if (job.y) {
    backward_sums_rows<true, true, false>(job, begin, end, first, second);
  } else if (job.relu) {
    backward_sums_rows<true, false, false>(job, begin, end, first, second);
  } else {
    backward_sums_rows<false, false, false>(job, begin, end, first, second);
  }
}

template <bool relu, bool masked, class T>
IVORY_INLINE void backward_input_rows(const BackwardRows<T> job, int64_t begin, int64_t end, const float* offset,
                                      const float* slope, T* out) {
  const int64_t channels = job.channels;
  T* __restrict result = out;
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t at = row * channels + c;
      const float x = get(job.x[at]);
      const float g = masked ? get(job.behind[at]) : behind_relu<relu, false, false>(job, at, c, x);
      put(job.scale[c] * g + offset[c] + slope[c] * x, result[at]);
    }
  }
}

template <class T>
IVORY_INLINE void backward_input_any(const BackwardRows<T>& job, int64_t begin, int64_t end, const float* offset,
                                     const float* slope, T* out) {
  if (job.y) {
    backward_input_rows<true, true>(job, begin, end, offset, slope, out);
  } else if (job.relu) {
    backward_input_rows<true, false>(job, begin, end, offset, slope, out);
  } else {
    backward_input_rows<false, false>(job, begin, end, offset, slope, out);
  }
}

template <class T>
torch::Tensor first_row(const T* row, int64_t channels) {
  torch::Tensor values = torch::empty({channels}, torch::kFloat);
  for (int64_t c = 0; c < channels; ++c) values.data_ptr<float>()[c] = get(row[c]);
  return values;
}

}  // namespace

#define IVORY_FOR_TYPE(T)                                                                                         \
  IVORY_VERSIONS void normalize(const T* in, const T* add, T* out, int64_t begin, int64_t end, int64_t channels,  \
                                const float* scale, const float* shift, bool relu) {                              \
    normalize_any(in, add, out, begin, end, channels, scale, shift, relu);                                        \
  }                                                                                                               \
  IVORY_VERSIONS void forward_sums(const T* in, const float* pivot, int64_t begin, int64_t end, int64_t channels, \
                                   double* first, double* second) {                                               \
    forward_sums_rows(in, pivot, begin, end, channels, first, second);                                            \
  }                                                                                                               \
  IVORY_VERSIONS void backward_sums(const BackwardRows<T>& job, int64_t begin, int64_t end, double* first,        \
                                    double* second) {                                                             \
    backward_sums_any(job, begin, end, first, second);                                                            \
  }                                                                                                               \
  IVORY_VERSIONS void backward_input(const BackwardRows<T>& job, int64_t begin, int64_t end, const float* offset, \
                                     const float* slope, T* out) {                                                \
    backward_input_any(job, begin, end, offset, slope, out);                                                      \
  }                                                                                                               \
  torch::Tensor to_float(const T* row, int64_t channels) {                                                        \
    return first_row(row, channels);                                                                              \
  }

IVORY_FOR_TYPE(float)
IVORY_FOR_TYPE(Bf16)

}  // namespace ivory::nn::kernels
