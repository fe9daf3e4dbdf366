// my-method on a network of a few parameters: it learns to tell a bright square from the background.
#include "my_method.cpp"

#include <ivory/fixtures.h>

#include <iostream>

int main() try {
  torch::manual_seed(1);
  ivory::fixtures::Capture plugins;
  ivory_register(plugins);
  const auto& plugin = plugins.tasks.at("my-method");
  const auto task = plugin.create(ivory::Options(plugin.options), {.model = ivory::fixtures::tiny_model(16, 8, 4),
                                                                   .classes = {"square"},
                                                                   .volume_names = {"a"},
                                                                   .size = {1, 32, 32}});
  ivory::TaskBatch batch;
  batch.masks = torch::zeros({2, 32, 32}, torch::kLong);
  batch.masks.slice(1, 8, 24).slice(2, 8, 24).fill_(1);
  batch.images.pixels = batch.masks.unsqueeze(1).to(torch::kFloat);
  torch::optim::Adam optimiser(task->parameters(), 1e-2);
  for (int step = 0; step < 60; ++step) {
    optimiser.zero_grad();
    task->loss(batch).backward();
    optimiser.step();
  }
  torch::NoGradGuard no_grad;
  task->evaluate(batch);
  const auto scores = task->scores();
  std::cout << scores.values.at(0).name << " " << scores.values.at(0).value << "\n";
  return scores.values.at(0).value > 0.8 ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
