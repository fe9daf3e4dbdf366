#pragma once
// [[stage]] as typed values.

#include <ivory/views.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/model_spec.h"
#include "config/train_spec.h"

namespace ivory::config {

struct ObjectiveUse {
  PluginUse plugin;
  SampleKind on = SampleKind::slice;  // what it learns from: one of the descriptor's kinds
  double weight = 1;
  // Unique within the stage, for logs and metrics: the plugin's name, then "-slices" or "-volumes" where `on` is not
  // the first of its kinds.
  std::string label;
};

// A [[task]] on frozen features, evaluated on its validation split while a stage trains.
struct ProbeUse {
  std::string task;
  int64_t every = 1;  // epochs
};

struct StageSpec {
  std::string name;
  std::string from;               // an earlier stage, or empty for fresh weights
  std::vector<std::string> data;  // names of [data.NAME]
  // How often an epoch draws from each of `data`, relative to the others. Empty: every sample once.
  std::vector<double> data_weights;
  int64_t shuffle_volumes = 0;  // volumes whose slices are mixed at a time, for slow storage; 0: all
  std::vector<ObjectiveUse> objectives;
  SliceViewSpec slice_views;
  VolumeViewSpec volume_views;
  std::string views_on = "cpu";       // "cpu", "device": where views are made; changes no identity
  std::string views_output = "fp32";  // "fp32", "bf16" (with its precision)
  int64_t volume_batch_size = 0;      // when slices and volumes are trained together; 0: batch_size
  std::vector<ProbeUse> probes;       // they change no result, and so no identity
  std::optional<ModelSpec> model;     // where it is not Experiment::model, here or in the stages that it begins from
  TrainSpec train;
  Location where;
};

}  // namespace ivory::config
