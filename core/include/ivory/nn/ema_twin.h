#pragma once
// A second network that follows the trained one: θ̄ ← m θ̄ + (1 − m) θ (mean teachers, MoCo, BYOL).

#include <ivory/options.h>
#include <ivory/torch.h>

#include <memory>
#include <string>
#include <vector>

namespace ivory::nn {

// The momentum m of each step.
class MomentumSchedule {
 public:
  // "momentum" and "momentum_schedule", with these defaults.
  static std::vector<Option> options(double momentum, const std::string& schedule);

  explicit MomentumSchedule(const Options& options);
  // constant: m₀. cosine: 1 − (1 − m₀)(cos(π step / total) + 1) / 2, which rises from m₀ to 1 (BYOL, appendix F).
  double at(int64_t step, int64_t total_steps) const;

 private:
  double first_;
  bool cosine_;
};

// Holds the twin as its part "network", without gradients, and remembers that it was started: a resumed stage keeps its
// twin. An objective registers one and makes the network by Context::fresh_model.
class EmaTwin : public torch::nn::Module {
 public:
  explicit EmaTwin(std::shared_ptr<torch::nn::Module> network);

  // Copies parameters and buffers of the trained network, of the same architecture, the first time it is called.
  void start(const torch::nn::Module& trained);
  // The step above, on parameters alone: running statistics are the twin's own.
  void follow(const torch::nn::Module& trained, double momentum);

 private:
  std::shared_ptr<torch::nn::Module> network_;
  torch::Tensor started_;
};

}  // namespace ivory::nn
