#pragma once
// Backbones filled by name, as tests/reference/resnet.py and resnet_3d.py fill theirs.
#include <ivory/backbone.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "support/golden.h"

namespace ivory::test {

inline void fill_network(Backbone& net) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, torch::Tensor> state;
  for (const auto& named : net.named_parameters()) state[named.key()] = named.value();
  for (const auto& named : net.named_buffers()) {
    if (!named.key().ends_with("num_batches_tracked")) state[named.key()] = named.value();
  }
  uint64_t salt = 0;
  for (auto& [name, tensor] : state) {
    double scale = 0.3, shift = 1;
    if (tensor.dim() >= 4) {
      scale = std::sqrt(6.0 / static_cast<double>(tensor.size(0) * tensor[0][0].numel()));
      shift = 0;
    } else if (name.ends_with("bias") || name.ends_with("running_mean")) {
      scale = 0.2;
      shift = 0;
    }
    tensor.copy_(fill(tensor.sizes(), salt++, scale, shift));
  }
}

// The levels and the pooled feature.
inline std::vector<torch::Tensor> all_features(Backbone& net, const torch::Tensor& input) {
  const auto features = net.forward(input);
  auto all = features.levels;
  all.push_back(features.pooled);
  return all;
}

// A scalar that every feature reaches.
inline torch::Tensor loss_of(const std::vector<torch::Tensor>& features) {
  torch::Tensor loss = torch::zeros({}, features[0].options());
  for (size_t i = 0; i < features.size(); ++i) {
    loss = loss + (fill(features[i].sizes(), 500 + i).to(features[i].scalar_type()) * features[i]).mean();
  }
  return loss;
}

inline void expect_features(const std::vector<torch::Tensor>& found, const nlohmann::json& expected, double tolerance,
                            const std::string& mode) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    expect_summary(found[i], expected[i], tolerance, mode + ", level " + std::to_string(i));
  }
}

}  // namespace ivory::test
