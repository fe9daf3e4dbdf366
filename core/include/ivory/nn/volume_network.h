#pragma once
// What networks of volumes share: checks of their input, normalisations that refuse a single value, blocks whose
// activations are computed again in the backward pass.

#include <ivory/options.h>
#include <ivory/torch.h>

#include <array>
#include <functional>
#include <string>

namespace ivory::nn {

// "in_channels": 1 … 4.
Option in_channels_option(int64_t fallback = 1);
// "recompute": see recomputed().
Option recompute_option();

// Normal numbers of mean 0, cut at ±limit.
void truncated_normal_(torch::Tensor weights, double deviation, double limit);

// Volumes [N, 1 or in_channels, D, H, W] whose sides are multiples of `stride`. Throws bad_request with the sides that
// would fit.
void require_volumes(const torch::Tensor& volumes, int64_t in_channels, const std::array<int64_t, 3>& stride,
                     const std::string& network);

// conv(x). A grey volume has the same value in all channels of the convolution: one channel under the sum of its
// weights.
torch::Tensor convolve_grey(torch::nn::Conv3dImpl& conv, const torch::Tensor& x);

// relu?(norm(x)) with the statistics of the batch while training, or always; those of evaluation move no running
// statistics. Throws bad_request when a channel has a single value, of which there is no variance.
torch::Tensor batch_norm(torch::nn::BatchNorm3dImpl& norm, const torch::Tensor& x, const std::string& network,
                         bool relu = false, bool always_of_the_batch = false);

// Instance normalisation without affine part, eps 1e-5. Throws bad_request when a channel has a single voxel.
torch::Tensor instance_norm(const torch::Tensor& x, const std::string& network);

// block(x). With `recompute`, activations of the block are not kept for the backward pass but computed again there:
// `parameters` are all that the block reads beside x. The block must be the same function both times (no dropout, no
// running statistics). Its gradient has no gradient.
torch::Tensor recomputed(bool recompute, const std::function<torch::Tensor(const torch::Tensor&)>& block,
                         const torch::Tensor& x, const std::vector<torch::Tensor>& parameters);

}  // namespace ivory::nn
