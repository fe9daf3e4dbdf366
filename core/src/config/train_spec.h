#pragma once
// What stages and tasks share about optimisation and the machine.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ivory::config {

// Tensors that are trained otherwise than the rest; the first group that names a tensor has it.
struct GroupSpec {
  std::vector<std::string> names;  // with * for any letters: "model.encoder.*", "*.bias"
  double lr_factor = 1;
  double decay_factor = 1;  // of the weight decay
};

// Tensors that stay as they are: their gradients are dropped.
struct FrozenSpec {
  std::vector<std::string> names;  // as of groups
  int64_t epochs = 0;              // the first ones; 0: all
};

struct OptimiserSpec {
  std::string name = "sgd";  // "sgd", "adamw", "lars"
  double lr = 0.3;           // peak; of sgd per 256 images when scale_lr
  bool scale_lr = false;     // lr · batch / 256
  double momentum = 0.9;
  double weight_decay = 1e-6;
  std::optional<double> final_weight_decay = {};  // reached along half a cosine over all steps
  bool decay_vectors = true;                      // weight decay of biases and other tensors of one dimension
  bool nesterov = false;
  bool larc = false;
  double trust = 0.001;                        // LARC, LARS
  std::array<double, 2> betas = {0.9, 0.999};  // adamw
  std::vector<GroupSpec> groups;
};

struct ScheduleSpec {
  std::string name = "cosine";  // "cosine", "constant", "steps"
  double warmup_epochs = 0;     // linear, from start_lr to the peak, per iteration
  double start_lr = 0;
  double final_factor = 0.001;      // cosine ends at peak · final_factor
  bool whole_course = false;        // the cosine's course is that of all steps, of which the warm-up covers the first
  std::vector<int64_t> milestones;  // steps: epochs at which the rate is multiplied by `factor`
  double factor = 0.1;
};

// What stages and tasks share about optimisation and the machine.
struct TrainSpec {
  int64_t epochs = 1;
  int64_t steps = 0;  // > 0 overrides epochs: the stage ends after so many optimiser steps
  int64_t batch_size = 32;
  int64_t accumulate = 1;  // micro-batches per optimiser step (batch_size is the sum)
  double clip_norm = 0;    // 0: none
  bool clip_each = false;  // each tensor's gradient by itself, not their joint norm
  std::vector<FrozenSpec> frozen;
  std::string precision = "fp32";  // "fp32", "bf16" (autocast)
  bool channels_last = true;
  OptimiserSpec optimiser;
  ScheduleSpec schedule;
  int64_t checkpoint_every = 1;  // epochs
  int64_t keep_last = 2;
  int64_t workers = 1;  // loader threads
  int64_t prefetch_mib = 256;
};

}  // namespace ivory::config
