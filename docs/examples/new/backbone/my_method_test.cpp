// my-method keeps what its info() promises: widths and strides of all levels.
#include "my_method.cpp"

#include <ivory/fixtures.h>

#include <iostream>

int main() try {
  torch::manual_seed(1);
  ivory::fixtures::Capture plugins;
  ivory_register(plugins);
  const auto& plugin = plugins.backbones.at("my-method");
  const auto backbone = plugin.create(ivory::Options(plugin.options), {});
  const auto info = backbone->info();
  const int64_t size = 64;
  const auto features = backbone->forward(torch::rand({2, 1, size, size}));

  IVORY_CHECK(features.levels.size() == info.levels.size(), "expected as many levels as info() lists");
  for (size_t i = 0; i < features.levels.size(); ++i) {
    const auto& level = info.levels[i];
    const auto expected = std::vector<int64_t>{2, level.width, size / level.stride[1], size / level.stride[2]};
    IVORY_CHECK(features.levels[i].sizes() == expected, "level ", i, " is ", features.levels[i].sizes());
  }
  IVORY_CHECK((features.pooled.sizes() == c10::IntArrayRef{2, info.width}), "pooled is ", features.pooled.sizes());
  features.pooled.sum().backward();
  for (const auto& parameter : backbone->named_parameters()) {
    IVORY_CHECK(parameter.value().grad().defined(), parameter.key(), " gets no gradient");
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
