#include <ATen/autocast_mode.h>
#include <ivory/error.h>
#include <ivory/nn/batch_norm.h>
#include <ivory/nn/volume_network.h>

namespace ivory::nn {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Option in_channels_option(int64_t fallback) {
  return {.name = "in_channels",
          .fallback = fallback,
          .help = "Channels of the first convolution: grey volumes are repeated.",
          .minimum = 1,
          .maximum = 4};
}

Option recompute_option() {
  return {.name = "recompute",
          .fallback = false,
          .help =
              "Compute the activations of blocks again in the backward pass instead of keeping them: less memory "
              "for about a third more time."};
}

void truncated_normal_(Tensor weights, double deviation, double limit) {
  const torch::NoGradGuard no_grad;
  const double share = std::erf(limit / (deviation * std::sqrt(2.0)));  // of the normal numbers that are not cut
  weights.uniform_(-share, share).erfinv_().mul_(deviation * std::sqrt(2.0)).clamp_(-limit, limit);
}

void require_volumes(const Tensor& volumes, int64_t in_channels, const std::array<int64_t, 3>& stride,
                     const std::string& network) {
  IVORY_CHECK(volumes.dim() == 5 && (volumes.size(1) == 1 || volumes.size(1) == in_channels), network,
              " with in_channels = ", in_channels, " needs volumes [N, 1",
              in_channels == 1 ? "" : c10::str(" or ", in_channels), ", D, H, W], but got a tensor of shape ",
              volumes.sizes());
  bool divided = true;
  std::vector<int64_t> smaller, larger;
  for (size_t axis = 0; axis < 3; ++axis) {
    const int64_t side = volumes.size(static_cast<int64_t>(axis) + 2), step = stride[axis];
    divided = divided && side % step == 0 && side > 0;
    smaller.push_back(std::max(step, side / step * step));
    larger.push_back(std::max(step, (side + step - 1) / step * step));
  }
  IVORY_CHECK(divided, network, " needs volumes whose sides are multiples of ", at::IntArrayRef(stride), ", but got ",
              volumes.sizes().slice(2), ": ", at::IntArrayRef(smaller), " or ", at::IntArrayRef(larger), " would fit");
}

Tensor convolve_grey(torch::nn::Conv3dImpl& conv, const Tensor& x) {
  if (x.size(1) == conv.weight.size(1)) return conv.forward(x);
  const auto& o = conv.options;
  const auto& padding = std::get<torch::ExpandingArray<3>>(o.padding());
  return torch::conv3d(x, conv.weight.sum(1, /*keepdim=*/true), conv.bias, o.stride(), padding, o.dilation());
}

Tensor batch_norm(torch::nn::BatchNorm3dImpl& norm, const Tensor& x, const std::string& network, bool relu,
                  bool always_of_the_batch) {
  const bool of_batch = norm.is_training() || always_of_the_batch;
  IVORY_CHECK(!of_batch || x.numel() > x.size(1), network, ": batch normalisation needs more than one value per ",
              "channel, but a layer has the shape ", x.sizes(), "; a larger batch or larger volumes give more");
  if (norm.is_training() || !always_of_the_batch) return batch_norm_act(norm, x, {}, relu);
  const Tensor y =
      torch::batch_norm(x, norm.weight, norm.bias, {}, {}, /*training=*/true, 0, norm.options.eps(), false);
  return relu ? torch::relu(y) : y;
}

Tensor instance_norm(const Tensor& x, const std::string& network) {
  IVORY_CHECK(x.numel() > x.size(0) * x.size(1), network, ": instance normalisation needs more than one voxel per ",
              "channel, but a layer has the shape ", x.sizes(), "; larger volumes have more");
  // As torch::instance_norm, which calls batch_norm: over all processes where statistics are joined, and not in
  // channels-last memory.
  return torch::group_norm(x, /*num_groups=*/x.size(1), {}, {}, 1e-5);
}

namespace {

using Block = std::function<Tensor(const Tensor&)>;

struct KeptBlock : torch::CustomClassHolder {
  explicit KeptBlock(Block kept) : block(std::move(kept)) {}
  Block block;
};

// Mixed precision as it was in the forward pass, without its cache of cast weights: what it keeps in one of the passes
// has no history for the other.
class Autocast {
 public:
  Autocast(at::DeviceType type, bool enabled)
      : type_(type),
        enabled_(at::autocast::is_autocast_enabled(type)),
        cached_(at::autocast::is_autocast_cache_enabled()) {
    at::autocast::set_autocast_enabled(type_, enabled);
    at::autocast::set_autocast_cache_enabled(false);
  }
  ~Autocast() {
    at::autocast::set_autocast_enabled(type_, enabled_);
    at::autocast::set_autocast_cache_enabled(cached_);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  at::DeviceType type_;
  bool enabled_, cached_;
};

class Recomputed : public torch::autograd::Function<Recomputed> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, at::TensorList parameters, const Block& block) {
    variable_list saved = {x};
    saved.insert(saved.end(), parameters.begin(), parameters.end());
    ctx->save_for_backward(saved);
    ctx->saved_data["block"] = c10::IValue::make_capsule(c10::make_intrusive<KeptBlock>(block));
    const auto device = x.device().type();
    const bool autocast = at::autocast::is_autocast_enabled(device);
    ctx->saved_data["autocast"] = autocast;
    const torch::NoGradGuard no_grad;
    const Autocast uncached(device, autocast);
    return block(x);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    variable_list inputs = ctx->get_saved_variables();  // x, the parameters
    inputs[0] = inputs[0].detach().requires_grad_(inputs[0].requires_grad());
    variable_list wanted;
    for (const Tensor& input : inputs) {
      if (input.requires_grad()) wanted.push_back(input);
    }
    const auto kept = ctx->saved_data["block"].toCapsule();
    const auto& block = static_cast<const KeptBlock&>(*kept).block;
    Tensor output;
    {
      const torch::AutoGradMode enabled(true);
      const Autocast as_before(inputs[0].device().type(), ctx->saved_data["autocast"].toBool());
      output = block(inputs[0]);
    }
    const auto found = torch::autograd::grad({output}, wanted, grads, {}, false, /*allow_unused=*/true);
    size_t next = 0;
    variable_list result;
    for (const Tensor& input : inputs) result.push_back(input.requires_grad() ? found[next++] : Tensor());
    result.emplace_back();  // of the block
    return result;
  }
};

}  // namespace

Tensor recomputed(bool recompute, const Block& block, const Tensor& x, const std::vector<Tensor>& parameters) {
  const bool any =
      x.requires_grad() || std::ranges::any_of(parameters, [](const Tensor& p) { return p.requires_grad(); });
  if (!recompute || !any || !torch::GradMode::is_enabled()) return block(x);
  return Recomputed::apply(x, at::TensorList(parameters), block);  // a vector would not count as tensors
}

}  // namespace ivory::nn
