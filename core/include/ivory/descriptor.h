#pragma once
// What a plugin says of itself, without the code that makes it and without tensors.

#include <ivory/options.h>
#include <ivory/views.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ivory {

// What a stage gives an objective, for advice before training. Numbers that are not known yet are 0.
struct StageFacts {
  SampleKind on = SampleKind::slice;
  int64_t samples = 0;                   // of this kind in the data
  int64_t declared_batch = 0;            // over all processes, as written
  int64_t batch = 0;                     // as it fits the data: at most `samples`
  std::string batch_key = "batch_size";  // the key that sets it: "batch_size" or "volume_batch_size"
  int64_t accumulate = 1;                // micro-batches a step
  int64_t steps_per_epoch = 0;
  int64_t total_steps = 0;
  std::string model = "image-volume";  // the composition
  int64_t width = 0;                   // of its pooled feature of these samples
  std::string precision = "fp32";
  bool larc = false;
  double weight_decay = 0;
  double least_crop = 1;  // the least share of a slice that a view shows
  double flip = 0;        // probability that a view is flipped, of volumes along each axis
};

// A network that a model takes: `slice_backbone = {name = "resnet"}` of [model].
struct Role {
  std::string name;
  std::vector<Input> inputs;  // the kinds of backbone that fit
  bool required = true;
  std::string help;  // one sentence
};

struct PluginInfo {
  std::string name;       // as written in an experiment: lower case, words joined by '-'
  std::string summary;    // one sentence
  std::string source;     // the paper
  int cache_version = 1;  // raise it when the same options give other results: recorded stages are then trained again
  std::vector<Option> options;
  // What the options imply together (a message per mistake, empty when all is well); may be null.
  std::function<std::string(const Options&)> check = nullptr;
  // Objectives: what they can learn from; the first is the default of `on`.
  std::vector<SampleKind> kinds = {SampleKind::slice};
  // Objectives: sentences about settings that are likely mistakes with these data; may be null.
  std::function<std::vector<std::string>(const Options&, const StageFacts&)> advise = nullptr;
  // Objectives: what to change when the loss stays at chance_loss(), the likeliest first; may be null.
  std::function<std::vector<std::string>(const Options&, const StageFacts&)> remedies = nullptr;
  // Models: the networks that they take.
  std::vector<Role> roles = {};
};

// The same with what makes an instance. Interface is Backbone, Model, Objective or Task; its nested Context holds what
// the plugin must know to size its parameters.
template <class Interface>
struct Descriptor {
  std::string name, summary, source;
  int cache_version = 1;
  std::vector<Option> options;
  std::function<std::string(const Options&)> check = nullptr;
  std::vector<SampleKind> kinds = {SampleKind::slice};
  std::function<std::vector<std::string>(const Options&, const StageFacts&)> advise = nullptr;
  std::function<std::vector<std::string>(const Options&, const StageFacts&)> remedies = nullptr;
  std::vector<Role> roles = {};
  std::function<std::shared_ptr<Interface>(const Options&, const typename Interface::Context&)> create;

  PluginInfo info() const {
    return {name, summary, source, cache_version, options, check, kinds, advise, remedies, roles};
  }
};

}  // namespace ivory
