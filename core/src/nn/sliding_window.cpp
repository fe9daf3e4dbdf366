#include <ivory/error.h>
#include <ivory/nn/sliding_window.h>

#include <algorithm>

namespace ivory::nn {
namespace {

using torch::Tensor;

// Outputs and weights summed over the windows of one slab: [K, roi, H, W] and [roi, H, W].
class Slab {
 public:
  explicit Slab(const Tensor& weights) : weights_(weights) {}

  // output [K, roi…] of the window that begins at (h, w) of the slab.
  void add(const Tensor& output, int64_t h, int64_t w, at::IntArrayRef volume) {
    const int64_t depth = weights_.size(0), height = weights_.size(1), width = weights_.size(2);
    if (!outputs_.defined()) {
      outputs_ = torch::zeros({output.size(0), depth, volume[3], volume[4]}, weights_.options());
      sums_ = torch::zeros({depth, volume[3], volume[4]}, weights_.options());
    }
    outputs_.narrow(2, h, height).narrow(3, w, width).add_(output * weights_);
    sums_.narrow(1, h, height).narrow(2, w, width).add_(weights_);
  }

  Tensor blended(int64_t slices) const {  // the first ones: [1, K, slices, H, W]
    return (outputs_.narrow(1, 0, slices) / sums_.narrow(0, 0, slices)).unsqueeze(0);
  }

  // Forgets the first slices and moves the others to the front.
  void advance(int64_t slices) {
    const int64_t depth = weights_.size(0);
    for (int64_t i = 0; i < depth; ++i) {
      const bool kept = i + slices < depth;
      if (kept) {
        outputs_.select(1, i).copy_(outputs_.select(1, i + slices));
        sums_.select(0, i).copy_(sums_.select(0, i + slices));
      } else {
        outputs_.select(1, i).zero_();
        sums_.select(0, i).zero_();
      }
    }
  }

 private:
  Tensor weights_, outputs_, sums_;
};

struct Padded {
  Tensor volume;
  std::array<int64_t, 3> front;  // voxels that were added before each axis
};

Padded padded(const Tensor& volume, const SlidingWindow& window) {
  namespace F = torch::nn::functional;
  Padded made{volume, {0, 0, 0}};
  std::vector<int64_t> sides;  // the last axis first
  for (int64_t axis = 2; axis >= 0; --axis) {
    const int64_t missing = std::max<int64_t>(window.roi[axis] - volume.size(axis + 2), 0);
    made.front[axis] = missing / 2;
    sides.insert(sides.end(), {missing / 2, missing - missing / 2});
  }
  if (std::all_of(sides.begin(), sides.end(), [](int64_t side) { return side == 0; })) return made;
  auto options = F::PadFuncOptions(sides);
  made.volume = window.pad_by_border ? F::pad(volume, options.mode(torch::kReplicate)) : F::pad(volume, options);
  return made;
}

void check(const Tensor& volume, const SlidingWindow& window) {
  IVORY_CHECK(volume.dim() == 5 && volume.size(0) == 1,
              "a sliding window needs one volume [1, C, D, H, W], but got a tensor of shape ", volume.sizes());
  for (const int64_t side : window.roi) {
    IVORY_CHECK(side > 0, "the sides of a sliding window must be positive, but one is ", side);
  }
  IVORY_CHECK(window.overlap >= 0 && window.overlap < 1, "the overlap of windows must be in [0, 1), but is ",
              window.overlap);
}

}  // namespace

std::vector<int64_t> window_starts(int64_t size, int64_t roi, double overlap) {
  if (size == roi) return {0};
  const auto step = std::max<int64_t>(static_cast<int64_t>(static_cast<double>(roi) * (1 - overlap)), 1);
  std::vector<int64_t> starts = {0};
  while (starts.back() + roi < size) starts.push_back(std::min(starts.back() + step, size - roi));
  return starts;
}

Tensor window_weights(const SlidingWindow& window, const torch::TensorOptions& options) {
  Tensor weights = torch::ones({window.roi[0], window.roi[1], window.roi[2]}, torch::kDouble);
  if (!window.gaussian) return weights.to(options);
  for (int64_t axis = 0; axis < 3; ++axis) {
    const auto side = static_cast<double>(window.roi[axis]), sigma = side / 8;
    const auto x = torch::arange(window.roi[axis], torch::kDouble) - (side - 1) / 2;
    std::vector<int64_t> shape(3, 1);
    shape[axis] = -1;
    weights = weights * (x.square() / (-2 * sigma * sigma)).exp().view(shape);
  }
  return weights.clamp_min(1e-3).to(options);
}

void sliding_window(const Tensor& input, const SlidingWindow& window, const WindowNetwork& network,
                    const std::function<void(int64_t, const Tensor&)>& slab_done) {
  check(input, window);
  const auto& roi = window.roi;
  const auto [volume, front] = padded(input, window);
  const auto starts = [&](int64_t axis) { return window_starts(volume.size(axis + 2), roi[axis], window.overlap); };
  std::vector<std::array<int64_t, 2>> places;  // of the windows of a slab
  for (const int64_t h : starts(1)) {
    for (const int64_t w : starts(2)) places.push_back({h, w});
  }
  const auto type = torch::promoteTypes(torch::kFloat, volume.scalar_type());
  Slab slab(window_weights(window, volume.options().dtype(type)));
  const auto along = starts(0);
  int64_t done = 0;  // slices of the input
  for (size_t s = 0; s < along.size(); ++s) {
    const Tensor thick = volume.narrow(2, along[s], roi[0]);
    for (size_t begin = 0; begin < places.size(); begin += static_cast<size_t>(window.at_once)) {
      const size_t end = std::min(places.size(), begin + static_cast<size_t>(window.at_once));
      std::vector<Tensor> cubes;
      for (size_t i = begin; i < end; ++i) {
        cubes.push_back(thick.narrow(3, places[i][0], roi[1]).narrow(4, places[i][1], roi[2]));
      }
      const Tensor outputs = network(torch::cat(cubes));  // [n, K, roi…]
      for (size_t i = begin; i < end; ++i) {
        slab.add(outputs[static_cast<int64_t>(i - begin)], places[i][0], places[i][1], volume.sizes());
      }
    }
    const int64_t finished = s + 1 < along.size() ? along[s + 1] - along[s] : roi[0];
    const int64_t count = std::min(finished - (s == 0 ? front[0] : 0), input.size(2) - done);
    Tensor output = slab.blended(finished).narrow(2, s == 0 ? front[0] : 0, count);
    output = output.narrow(3, front[1], input.size(3)).narrow(4, front[2], input.size(4));
    slab_done(done, output);
    done += count;
    if (s + 1 < along.size()) slab.advance(finished);
  }
}

Tensor sliding_window(const Tensor& volume, const SlidingWindow& window, const WindowNetwork& network) {
  std::vector<Tensor> slabs;
  sliding_window(volume, window, network, [&](int64_t, const Tensor& output) { slabs.push_back(output); });
  return torch::cat(slabs, 2);
}

}  // namespace ivory::nn
