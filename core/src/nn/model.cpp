#include <ivory/batch.h>
#include <ivory/model.h>

#include "base/text.h"

namespace ivory {
torch::Tensor Model::decode(const Features&) {
  throw bad_request(
      "this model has no decoder: a decoder comes with the model 'encoder-decoder' and with networks that "
      "bring their own");
}

std::vector<std::string> Model::parts() const {
  std::vector<std::string> names;
  for (const auto& child : named_children()) names.push_back(child.key());
  return names;
}

std::shared_ptr<torch::nn::Module> Model::part(const std::string& name) const {
  const auto children = named_children();
  const auto* found = children.find(name);
  IVORY_CHECK(found, "the model has no part '", name, "'; its parts: ", base::joined(parts()));
  return *found;
}

SampleKind kind_of(const torch::Tensor& samples) {
  IVORY_CHECK(samples.dim() == 4 || samples.dim() == 5,
              "samples must be [B, 1, H, W] or [B, 1, D, H, W], but got a tensor of shape ", samples.sizes());
  return samples.dim() == 4 ? SampleKind::slice : SampleKind::volume;
}

std::vector<torch::Tensor> pixels_of(const Batch& batch) {
  std::vector<torch::Tensor> pixels;
  pixels.reserve(batch.views.size());
  for (const View& view : batch.views) pixels.push_back(view.pixels);
  return pixels;
}

namespace {

// [B, n, n + 1] -> [B, n + 1, n + 1]
torch::Tensor homogeneous(const torch::Tensor& place) {
  const int64_t n = place.size(2);
  const auto last = torch::eye(n, place.options()).narrow(0, n - 1, 1).expand({place.size(0), 1, n});
  return torch::cat({place, last}, 1);
}

}  // namespace

torch::Tensor grid_between(const View& from, const View& to) {
  IVORY_CHECK(from.place.defined() && to.place.defined(), "grid_between needs views whose place is known");
  const int64_t dims = to.place.size(1);  // 2: slices
  // Voxels of `to` -> mm, or pixels of the slice -> voxels of `from`.
  const auto map = torch::linalg_solve(homogeneous(from.place), homogeneous(to.place)).narrow(1, 0, dims);
  std::vector<torch::Tensor> axes;
  std::vector<double> sides;
  for (int64_t d = 0; d < dims; ++d) {
    axes.push_back(torch::arange(to.pixels.size(2 + d), torch::kDouble));
    sides.push_back(static_cast<double>(from.pixels.size(2 + d)));
  }
  auto mesh = torch::meshgrid(axes, "ij");
  mesh.push_back(torch::ones_like(mesh[0]));
  const auto voxels = torch::stack(mesh, -1).flatten(0, dims - 1);            // [D · H · W, dims + 1]
  const auto at = torch::matmul(voxels, map.transpose(1, 2));                 // [B, D · H · W, dims], (z,) y, x
  const auto unit = (2 * at + 1) / torch::tensor(sides, torch::kDouble) - 1;  // -1 and 1: the outer borders
  return unit.flip(-1).unflatten(1, to.pixels.sizes().slice(2)).to(from.pixels.device(), torch::kFloat);
}

}  // namespace ivory
