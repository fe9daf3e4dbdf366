#pragma once
// The network that `ivory features` runs: a backbone by name, a model of two by their names, or that of an experiment.

#include <ivory/image_volume.h>

#include <filesystem>
#include <memory>

#include "arguments.h"

namespace ivory::tools {

struct FeatureModel {
  std::shared_ptr<Backbone> slices;
  std::shared_ptr<ImageVolumeModel> model;  // null where a slice backbone alone is named
  std::filesystem::path input;              // what INPUT means: where it names a data set of the experiment, its cache
};

// --backbone, --option, --load, --volume-backbone and what belongs to it, --experiment, --stage, --set, --weights and
// --min-match.
void add_model_options(boost::program_options::options_description& visible);
// With its weights; says on the terminal which. Throws bad_request on options that do not go together, missing_data
// when the stage has not been trained.
FeatureModel load_model(const Arguments& arguments);

}  // namespace ivory::tools
