#pragma once
// Small deformable attentions in double, filled as by tests/reference/attention.py.
#include <ivory/nn/deformable_attention.h>

#include <map>

#include "support/golden.h"

namespace ivory::test {

inline nn::DeformableAttentionSpec table_spec() {
  return {.length = 12,
          .channels = 20,
          .heads = 4,
          .head_width = 6,
          .groups = 2,
          .downsampling = 3,
          .kernel = 5,
          .offset_scale = 1.5,
          .bias = "table"};
}

inline nn::DeformableAttentionSpec mlp_spec() {
  auto spec = table_spec();
  spec.bias = "mlp";
  return spec;
}

// As the preset authors-release.
inline nn::DeformableAttentionSpec release_spec() {
  return {.length = 24,
          .channels = 64,
          .heads = 8,
          .head_width = 4,
          .groups = 4,
          .downsampling = 4,
          .kernel = 6,
          .offset_scale = 2,
          .bias = "mlp",
          .grouped_qkv = true,
          .offset_norm = false,
          .align_corners = false,
          .offsets_on_key_grid = true};
}

// Salts in the order of the names.
inline void fill_by_name(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, torch::Tensor> sorted;
  for (const auto& named : module.named_parameters()) sorted[named.key()] = named.value();
  uint64_t salt = 100;
  for (auto& [name, tensor] : sorted) tensor.copy_(fill(tensor.sizes(), salt++, 0.5));
}

inline nn::DeformableAttention filled(const nn::DeformableAttentionSpec& spec) {
  nn::DeformableAttention made(spec);
  made->to(torch::kDouble);
  fill_by_name(*made);
  return made;
}

}  // namespace ivory::test
