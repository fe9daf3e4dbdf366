#include <ATen/Parallel.h>
#include <ivory/error.h>
#include <ivory/nn/roi_align.h>

#include <algorithm>
#include <cmath>

#include "nn/cpu/roi_kernels.h"
#include "nn/parallel.h"

namespace ivory::nn {
namespace {

using kernels::Tap;
using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The pixels along an axis, and their weights, of which a bin is the mean.
struct AxisTap {
  int64_t pixel;
  double weight;
};

// Bilinear samples of one bin along one axis; since a sample's weight is the product of both axes', and so is whether
// it counts, a bin's pixels are those of its rows times those of its columns.
void sample_axis(double start, double bin, int64_t samples, int64_t length, std::vector<AxisTap>& taps) {
  taps.clear();
  const auto add = [&](int64_t pixel, double weight) {
    if (weight == 0) return;
    const auto known = std::ranges::find(taps, pixel, &AxisTap::pixel);
    if (known == taps.end()) {
      taps.push_back({pixel, weight});
    } else {
      known->weight += weight;
    }
  };
  for (int64_t i = 0; i < samples; ++i) {
    double at = start + (static_cast<double>(i) + 0.5) * bin / static_cast<double>(samples);
    if (at < -1 || at > static_cast<double>(length)) continue;
    at = std::max(at, 0.0);
    const auto low = std::min(static_cast<int64_t>(at), length - 1);
    const double share = low == length - 1 ? 0 : at - static_cast<double>(low);
    add(low, (1 - share) / static_cast<double>(samples));
    add(std::min(low + 1, length - 1), share / static_cast<double>(samples));
  }
}

struct Features {
  int64_t images, channels, height, width;
};

// The pixels of each bin of a box, bin by bin.
class BoxTaps {
 public:
  BoxTaps(const Features& features, const RoiAlign& options, double scale)
      : features_(features), options_(options), scale_(scale), rows_(options.size), columns_(options.size) {}

  // roi: image, x_min, y_min, x_max, y_max
  void set(const double* roi) {
    image_ = static_cast<int64_t>(roi[0]);
    along(roi[2], roi[4], features_.height, rows_);
    along(roi[1], roi[3], features_.width, columns_);
  }

  const std::vector<Tap>& bin(int64_t row, int64_t column) {
    taps_.clear();
    for (const AxisTap& y : rows_[static_cast<size_t>(row)]) {
      const int64_t line = (image_ * features_.height + y.pixel) * features_.width;
      for (const AxisTap& x : columns_[static_cast<size_t>(column)])
        taps_.push_back({(line + x.pixel) * features_.channels, y.weight * x.weight});
    }
    return taps_;
  }

 private:
  void along(double low, double high, int64_t length, std::vector<std::vector<AxisTap>>& bins) const {
    const double offset = options_.aligned ? 0.5 : 0;
    const double start = low * scale_ - offset;
    double extent = high * scale_ - offset - start;
    if (!options_.aligned) extent = std::max(extent, 1.0);
    const auto count = static_cast<double>(options_.size), bin = extent / count;
    const int64_t samples = options_.sampling > 0 ? options_.sampling : static_cast<int64_t>(std::ceil(bin));
    for (int64_t i = 0; i < options_.size; ++i)
      sample_axis(start + static_cast<double>(i) * bin, bin, samples, length, bins[static_cast<size_t>(i)]);
  }

  Features features_;
  RoiAlign options_;
  double scale_;
  int64_t image_ = 0;
  std::vector<std::vector<AxisTap>> rows_, columns_;
  std::vector<Tap> taps_;
};

// [N, H, W, C] → [k, size², C]
template <class T>
void forward_rois(const T* features, const Features& of, const double* rois, int64_t count, double scale,
                  const RoiAlign& options, T* out) {
  const int64_t bins = options.size * options.size;
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), count);
  parallel(threads, [&](int64_t thread) {
    BoxTaps taps(of, options, scale);
    for (int64_t k = count * thread / threads; k < count * (thread + 1) / threads; ++k) {
      taps.set(rois + 5 * k);
      for (int64_t b = 0; b < bins; ++b)
        kernels::gather(taps.bin(b / options.size, b % options.size), features, of.channels,
                        out + (k * bins + b) * of.channels);
    }
  });
}

// Threads have images of their own, so that none adds to another's pixels and the order of additions is the boxes'.
template <class T>
void backward_rois(const T* gradient, const Features& of, const double* rois, int64_t count, double scale,
                   const RoiAlign& options, T* features) {
  const int64_t bins = options.size * options.size;
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), of.images);
  parallel(threads, [&](int64_t thread) {
    BoxTaps taps(of, options, scale);
    for (int64_t k = 0; k < count; ++k) {
      if (static_cast<int64_t>(rois[5 * k]) % threads != thread) continue;
      taps.set(rois + 5 * k);
      for (int64_t b = 0; b < bins; ++b)
        kernels::scatter(taps.bin(b / options.size, b % options.size), gradient + (k * bins + b) * of.channels,
                         of.channels, features);
    }
  });
}

class RoiAlignFunction : public torch::autograd::Function<RoiAlignFunction> {
 public:
  // features: on the CPU, channels-last
  static Tensor forward(AutogradContext* context, const Tensor& features, const Tensor& rois, double scale,
                        int64_t size, int64_t sampling, bool aligned) {
    const RoiAlign options{.size = size, .sampling = sampling, .aligned = aligned};
    const Features of{features.size(0), features.size(1), features.size(2), features.size(3)};
    context->save_for_backward({rois});
    context->saved_data["shape"] = features.sizes().vec();
    context->saved_data["scale"] = scale;
    context->saved_data["options"] = std::vector<int64_t>{size, sampling, aligned};
    const int64_t count = rois.size(0);
    const auto out = torch::empty({count, size * size, of.channels}, features.options());
    const auto* boxes = rois.data_ptr<double>();
    if (count > 0 && features.scalar_type() == torch::kFloat64) {
      forward_rois(features.data_ptr<double>(), of, boxes, count, scale, options, out.data_ptr<double>());
    } else if (count > 0) {
      forward_rois(features.data_ptr<float>(), of, boxes, count, scale, options, out.data_ptr<float>());
    }
    return out.transpose(1, 2).contiguous().view({count, of.channels, size, size});
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const Tensor rois = context->get_saved_variables()[0];
    const auto shape = context->saved_data["shape"].toIntVector();
    const auto values = context->saved_data["options"].toIntVector();
    const double scale = context->saved_data["scale"].toDouble();
    const RoiAlign options{.size = values[0], .sampling = values[1], .aligned = values[2] != 0};
    const Features of{shape[0], shape[1], shape[2], shape[3]};
    const int64_t count = rois.size(0);
    const auto gradient = gradients[0].flatten(2).transpose(1, 2).contiguous();  // [k, size², C]
    const auto out = torch::zeros({shape[0], shape[2], shape[3], shape[1]}, gradient.options());
    const auto* boxes = rois.data_ptr<double>();
    if (count > 0 && gradient.scalar_type() == torch::kFloat64) {
      backward_rois(gradient.data_ptr<double>(), of, boxes, count, scale, options, out.data_ptr<double>());
    } else if (count > 0) {
      backward_rois(gradient.data_ptr<float>(), of, boxes, count, scale, options, out.data_ptr<float>());
    }
    return {out.permute({0, 3, 1, 2}), {}, {}, {}, {}, {}};
  }
};

}  // namespace

Tensor roi_align(const Tensor& features, const Tensor& rois, double scale, const RoiAlign& options) {
  IVORY_CHECK(features.dim() == 4 && features.numel() > 0, "RoIAlign: expected features [N, C, H, W], got ",
              features.sizes());
  IVORY_CHECK(rois.dim() == 2 && rois.size(1) == 5, "RoIAlign: expected boxes [k, 5] with their image, got ",
              rois.sizes());
  const auto boxes = rois.detach().to(torch::kCPU, torch::kFloat64).contiguous();
  if (boxes.size(0) > 0) {
    const auto low = boxes.select(1, 0).min().item<double>(), high = boxes.select(1, 0).max().item<double>();
    IVORY_CHECK(low >= 0 && high < static_cast<double>(features.size(0)), "RoIAlign: image ", low < 0 ? low : high,
                " of ", features.size(0));
    IVORY_CHECK(boxes.isfinite().all().item<bool>(), "RoIAlign: a box is not finite");
  }
  const auto type = features.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const auto prepared = features.to(torch::kCPU, type).contiguous(torch::MemoryFormat::ChannelsLast);
  return RoiAlignFunction::apply(prepared, boxes, scale, options.size, options.sampling, options.aligned)
      .to(features.device());
}

Tensor roi_levels(const Tensor& boxes, int64_t levels) {
  const auto area = (boxes.select(1, 2) - boxes.select(1, 0)) * (boxes.select(1, 3) - boxes.select(1, 1));
  constexpr double canonical_size = 224, canonical_level = 2;  // P4, counted from P2
  const auto level = (canonical_level + torch::log2(area.sqrt() / canonical_size) + 1e-6).floor();
  return level.clamp(0, static_cast<double>(levels - 1)).to(torch::kInt64);
}

Tensor roi_align_levels(const std::vector<Tensor>& levels, const std::vector<double>& strides, const Tensor& rois,
                        const RoiAlign& options) {
  IVORY_CHECK(!levels.empty() && levels.size() == strides.size(), "RoIAlign: ", levels.size(), " levels and ",
              strides.size(), " strides");
  const auto level = roi_levels(rois.narrow(1, 1, 4), static_cast<int64_t>(levels.size()));
  std::vector<Tensor> parts, places;
  for (size_t l = 0; l < levels.size(); ++l) {
    const auto place = (level == static_cast<int64_t>(l)).nonzero().squeeze(1);
    if (place.numel() == 0) continue;
    places.push_back(place);
    parts.push_back(roi_align(levels[l], rois.index_select(0, place), 1 / strides[l], options));
  }
  if (parts.empty()) return roi_align(levels.front(), rois, 1 / strides.front(), options);
  return torch::cat(parts).index_select(0, torch::cat(places).argsort());
}

}  // namespace ivory::nn
