#pragma once
// The loops of batch_norm.cpp over rows of a channels-last tensor [rows, channels]; written so that the compiler
// vectorises the inner loop over channels, in versions for the machine at hand.

#include <ivory/torch.h>

#include <cstdint>

#include "base/vectorised.h"

namespace ivory::nn {
namespace kernels IVORY_HIDDEN {

struct Bf16 {
  uint16_t bits;
};

template <class T>
struct BackwardRows {
  const T* x;
  const T* grad;   // of the output
  const T* grad2;  // with residual and ReLU: a second gradient, to be added to the first; else null
  const T* y;      // with residual and ReLU: the output, whose sign is the mask; else null
  T* behind;       // with residual and ReLU: receives the gradient behind the ReLU; else null
  const float *scale, *shift, *mean, *inverse;  // [channels]
  int64_t channels;
  bool relu;
};

// out = relu?(in · scale + shift + add?) for rows begin … end.
void normalize(const float* in, const float* add, float* out, int64_t begin, int64_t end, int64_t channels,
               const float* scale, const float* shift, bool relu);
void normalize(const Bf16* in, const Bf16* add, Bf16* out, int64_t begin, int64_t end, int64_t channels,
               const float* scale, const float* shift, bool relu);

// first += Σ (x − pivot), second += Σ (x − pivot)².
void forward_sums(const float* in, const float* pivot, int64_t begin, int64_t end, int64_t channels, double* first,
                  double* second);
void forward_sums(const Bf16* in, const float* pivot, int64_t begin, int64_t end, int64_t channels, double* first,
                  double* second);

// first += Σ g, second += Σ g·(x − mean); fills job.behind.
void backward_sums(const BackwardRows<float>& job, int64_t begin, int64_t end, double* first, double* second);
void backward_sums(const BackwardRows<Bf16>& job, int64_t begin, int64_t end, double* first, double* second);

// out = scale·g + offset + slope·x.
void backward_input(const BackwardRows<float>& job, int64_t begin, int64_t end, const float* offset, const float* slope,
                    float* out);
void backward_input(const BackwardRows<Bf16>& job, int64_t begin, int64_t end, const float* offset, const float* slope,
                    Bf16* out);

// The first row as float32 [channels].
torch::Tensor to_float(const float* row, int64_t channels);
torch::Tensor to_float(const Bf16* row, int64_t channels);

}  // namespace IVORY_HIDDEN
}  // namespace ivory::nn
