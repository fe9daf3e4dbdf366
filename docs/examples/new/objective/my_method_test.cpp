// my-method on a network of a few parameters: its loss falls. Add the closed form, an invariance, a numerical gradient.
#include "my_method.cpp"

#include <ivory/fixtures.h>

#include <iostream>

int main() try {
  torch::manual_seed(1);
  ivory::fixtures::Capture plugins;
  ivory_register(plugins);
  const auto& plugin = plugins.objectives.at("my-method");
  const auto model = ivory::fixtures::tiny_model(16, 8, 4);
  const auto objective = plugin.create(ivory::Options(plugin.options), {.width = 16, .views = 2});

  ivory::Batch batch;
  const auto images = torch::rand({8, 1, 16, 16});
  batch.views = {{images}, {images + 0.05 * torch::randn_like(images)}};
  batch.index = torch::arange(8);
  auto parameters = model->parameters();
  for (const auto& parameter : objective->parameters()) parameters.push_back(parameter);
  torch::optim::Adam optimiser(parameters, 1e-2);
  double first = 0, last = 0;
  for (int step = 0; step < 60; ++step) {
    optimiser.zero_grad();
    const auto loss = objective->forward(*model, batch).at(0).second;
    loss.backward();
    optimiser.step();
    last = loss.item<double>();
    if (step == 0) first = last;
  }
  std::cout << "loss " << first << " -> " << last << "\n";
  return last < 0.9 * first ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
