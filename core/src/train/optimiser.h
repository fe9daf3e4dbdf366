#pragma once
// SGD with momentum, LARC, AdamW: state as named tensors, so that checkpoints are plain safetensors.

#include <memory>

#include "config/experiment.h"
#include "weights/safetensors.h"

namespace ivory::train {

class Optimiser {
 public:
  explicit Optimiser(NamedTensors parameters) : parameters_(std::move(parameters)) {}
  virtual ~Optimiser() = default;

  // One update from the parameters' gradients, which it may overwrite. A parameter without a gradient stays as it is.
  virtual void step(double lr) = 0;
  // Live tensors: copying into them restores the optimiser.
  virtual NamedTensors state() const = 0;
  void zero_grad();  // gradients become undefined
  const NamedTensors& parameters() const { return parameters_; }

 protected:
  // Indices of the parameters that have a gradient.
  std::vector<size_t> with_gradient() const;

  NamedTensors parameters_;
};

std::unique_ptr<Optimiser> make_optimiser(const config::OptimiserSpec& spec, NamedTensors parameters);

// Scales all gradients so that their joint L2 norm is at most max_norm; returns the norm before.
double clip_gradients(const NamedTensors& parameters, double max_norm);

}  // namespace ivory::train
