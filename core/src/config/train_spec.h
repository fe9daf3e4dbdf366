#pragma once
// What stages and tasks share about optimisation and the machine.

#include <array>
#include <cstdint>
#include <string>

namespace ivory::config {

struct OptimiserSpec {
  std::string name = "sgd";  // "sgd", "adamw"
  double lr = 0.3;           // peak; of sgd per 256 images when scale_lr
  bool scale_lr = false;     // lr · batch / 256
  double momentum = 0.9;
  double weight_decay = 1e-6;
  bool larc = false;
  double trust = 0.001;                        // LARC
  std::array<double, 2> betas = {0.9, 0.999};  // adamw
};

struct ScheduleSpec {
  std::string name = "cosine";  // "cosine", "constant"
  double warmup_epochs = 0;     // linear, from start_lr to the peak, per iteration
  double start_lr = 0;
  double final_factor = 0.001;  // cosine ends at peak · final_factor
};

// What stages and tasks share about optimisation and the machine.
struct TrainSpec {
  int64_t epochs = 1;
  int64_t steps = 0;  // > 0 overrides epochs: the stage ends after so many optimiser steps
  int64_t batch_size = 32;
  int64_t accumulate = 1;          // micro-batches per optimiser step (batch_size is the sum)
  double clip_norm = 0;            // 0: none
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
