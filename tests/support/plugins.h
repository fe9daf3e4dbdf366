#pragma once
// Plugins of the build tree, made as the program makes them.
#include <gtest/gtest.h>
#include <ivory/image_volume.h>

#include <memory>
#include <string>

#include "plugin/registry.h"
#include "support/plugin_files.h"

namespace ivory::test {

template <class Interface>
const Descriptor<Interface>& descriptor(const std::string& name) {
  static plugin::Registry registry;
  registry.load(plugin_file(name));
  return registry.find<Interface>(name);
}

template <class Interface>
std::shared_ptr<Interface> make(const std::string& name, const Settings& settings,
                                const typename Interface::Context& context) {
  const auto& made_by = descriptor<Interface>(name);
  Options options(made_by.options);
  for (const auto& [option, value] : settings) options.set(option, value);
  const std::string mistake = made_by.check ? made_by.check(options) : "";
  EXPECT_EQ(mistake, "") << name;
  return made_by.create(options, context);
}

inline int64_t parameter_count(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const auto& parameter : module.parameters()) count += parameter.numel();
  return count;
}

// ResNet-18 and one small deformable layer without dropout, in the precision asked for.
inline std::shared_ptr<ImageVolumeModel> small_model(int64_t frames = 8, int64_t width = 16,
                                                     torch::Dtype dtype = torch::kDouble) {
  torch::manual_seed(1);
  auto intra = make<Backbone>("resnet", {{"depth", int64_t{18}}}, {});
  auto inter = make<Backbone>("deformable-transformer",
                              {{"layers", int64_t{1}},
                               {"heads", int64_t{2}},
                               {"groups", int64_t{2}},
                               {"downsampling", int64_t{2}},
                               {"kernel", int64_t{4}},
                               {"ffn", int64_t{8}},
                               {"dropout", 0.0}},
                              {.size = {frames, 0, 0}, .token_width = width});
  auto model = std::make_shared<ImageVolumeModel>(intra, inter, LevelUse::all, width, frames);
  model->to(dtype);
  return model;
}

}  // namespace ivory::test
