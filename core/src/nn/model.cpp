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

// [B, 3, 4] -> [B, 4, 4]
torch::Tensor homogeneous(const torch::Tensor& place) {
  const auto last = torch::tensor({0.0, 0.0, 0.0, 1.0}, place.options()).expand({place.size(0), 1, 4});
  return torch::cat({place, last}, 1);
}

}  // namespace

torch::Tensor grid_between(const View& from, const View& to) {
  IVORY_CHECK(from.place.defined() && to.place.defined(), "grid_between needs views of volumes, whose place is known");
  // Voxels of `to` -> mm -> voxels of `from`.
  const auto map = torch::linalg_solve(homogeneous(from.place), homogeneous(to.place)).narrow(1, 0, 3);  // [B, 3, 4]
  const auto axis = [&](int64_t dim) { return torch::arange(to.pixels.size(dim), torch::kDouble); };
  const auto mesh = torch::meshgrid({axis(2), axis(3), axis(4)}, "ij");
  const auto voxels = torch::stack({mesh[0], mesh[1], mesh[2], torch::ones_like(mesh[0])}, -1);  // [D, H, W, 4]
  const auto at = torch::einsum("bij,dhwj->bdhwi", {map, voxels});                               // z, y, x in `from`
  const auto size = torch::tensor({from.pixels.size(2), from.pixels.size(3), from.pixels.size(4)}, torch::kDouble);
  const auto unit = (2 * at + 1) / size - 1;  // -1 and 1: the outer borders
  return unit.flip(-1).to(from.pixels.device(), torch::kFloat);
}

}  // namespace ivory
