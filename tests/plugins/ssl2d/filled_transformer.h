#pragma once
// Transformers filled by name, as tests/reference/transformers.py fills its own.
#include "plugins/filled_network.h"
#include "support/errors.h"
#include "support/plugins.h"

namespace ivory::test {

inline void fill_transformer(Backbone& net) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, torch::Tensor> state;
  for (const auto& named : net.named_parameters()) state[named.key()] = named.value();
  uint64_t salt = 0;
  for (auto& [name, tensor] : state) {
    double scale = std::sqrt(3.0 * static_cast<double>(tensor.size(0)) / static_cast<double>(tensor.numel())),
           shift = 0;
    if (tensor.dim() == 1) {
      shift = name.ends_with("bias") ? 0 : 1;
      scale = shift == 0 ? 0.2 : 0.3;
    }
    tensor.copy_(fill(tensor.sizes(), salt++, scale, shift));
  }
}

inline void expect_shapes(const Backbone& net, const nlohmann::json& expected) {
  const auto parameters = net.named_parameters();
  EXPECT_EQ(parameters.size(), expected.size());
  for (const auto& [name, shape] : expected.items()) {
    const auto* found = parameters.find(name);
    ASSERT_TRUE(found) << name;
    EXPECT_EQ(found->sizes().vec(), shape.get<std::vector<int64_t>>()) << name;
  }
}

// Features and gradients of images or volumes, fp64 to `tolerance`.
inline void expect_forward_and_backward(Backbone& net, const torch::Tensor& input, const nlohmann::json& expected,
                                        double tolerance) {
  for (auto& parameter : net.parameters()) parameter.mutable_grad().reset();
  const auto found = all_features(net, input);
  expect_features(found, expected.at("features"), tolerance, "forward");
  loss_of(found).backward();
  for (const auto& [name, summary] : expected.at("gradients").items()) {
    expect_summary(net.named_parameters()[name].grad(), summary, tolerance, "gradient of " + name);
  }
}

}  // namespace ivory::test
