#pragma once
// Experiments that are parsed, with the plugins that they name.

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "data/cache_fixtures.h"
#include "plugin/registry.h"
#include "support/plugin_files.h"

namespace ivory::experiment {

// The data, the model and the beginning of the stage "slices"; steps, batch and views come behind it.
inline const std::string scans_and_stage = R"toml(
[data.scans]
layout = "phantom"
phantom = { volumes = 3, size = [8, 24, 24], labels = [1], seed = 1 }
[model]
slice_backbone = { name = "resnet", depth = 18, in_channels = 1 }
[[stage]]
name = "slices"
data = ["scans"]
objectives = [{ name = "deepcluster-v2", clusters = [2], head_width = 16, embedding_width = 8 }]
)toml";

class ParsedExperimentTest : public testing::Test {
 protected:
  explicit ParsedExperimentTest(const std::vector<std::string>& plugins) {
    setenv("IVORY_CACHE", (folder_.path() / "caches").c_str(), 1);
    test::load_plugins(registry_, plugins);
  }

  std::vector<config::Experiment> points_of(const std::string& text, std::vector<std::string> settings = {}) {
    settings.push_back("experiment.output=" + (folder_.path() / "runs").string());
    return config::parse_experiments(text, "parsed.toml", settings, registry_);
  }

  data::testing::TemporaryFolder folder_;
  plugin::Registry registry_;
};

}  // namespace ivory::experiment
