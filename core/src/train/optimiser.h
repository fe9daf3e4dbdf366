#pragma once
// SGD with momentum, LARC, LARS, AdamW: state as named tensors, so that checkpoints are plain safetensors.

#include <memory>

#include "config/experiment.h"
#include "weights/safetensors.h"

namespace ivory::train {

class Optimiser {
 public:
  Optimiser(const config::OptimiserSpec& spec, NamedTensors parameters);
  virtual ~Optimiser() = default;

  // One update from the parameters' gradients, which it may overwrite. A parameter without a gradient stays as it is.
  void step(double lr, double weight_decay);
  void step(double lr) { step(lr, spec_.weight_decay); }
  // Live tensors: copying into them restores the optimiser.
  virtual NamedTensors state() const = 0;
  void zero_grad();  // gradients become undefined
  const NamedTensors& parameters() const { return parameters_; }

 protected:
  // Of the parameters with these indices, which have gradients. `layer_wise`: the layer's own rate, where the optimiser
  // has such.
  virtual void update(const std::vector<size_t>& active, double lr, double weight_decay, bool layer_wise) = 0;

  config::OptimiserSpec spec_;
  NamedTensors parameters_;

 private:
  struct Group {
    double lr_factor, decay_factor;
    bool layer_wise;
    std::vector<size_t> parameters;
  };
  std::vector<Group> groups_;
};

// Whether the name is what the pattern says: * stands for any letters.
bool name_matches(const std::string& pattern, const std::string& name);
// Indices of the parameters that one of the patterns names. Throws bad_request where a pattern names none.
std::vector<size_t> named_by(const std::vector<std::string>& patterns, const NamedTensors& parameters,
                             const std::string& where);

// λ at a step of all: spec.weight_decay, or from there along half a cosine to spec.final_weight_decay.
double weight_decay_at(const config::OptimiserSpec& spec, int64_t step, int64_t total_steps);

std::unique_ptr<Optimiser> make_optimiser(const config::OptimiserSpec& spec, NamedTensors parameters);

// Scales all gradients so that their joint L2 norm is at most max_norm; returns the norm before.
double clip_gradients(const NamedTensors& parameters, double max_norm);
// The same of each tensor by itself.
double clip_each_gradient(const NamedTensors& parameters, double max_norm);

}  // namespace ivory::train
