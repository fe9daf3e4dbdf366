#pragma once
// A tiny experiment on the phantom, and run-experiment as a user calls it.

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "data/cache_fixtures.h"
#include "support/command.h"

namespace ivory::test {

// A stage that ends as its objective's `end` says, and a task.
inline const char* const crashing_experiment = R"toml(
plugins = ["PLUGINS/libcrashing.so"]
[experiment]
name = "tiny"
threads = 1
[data.scans]
layout = "phantom"
phantom = { volumes = 5, size = [8, 24, 24], labels = [1], seed = 1 }
[model]
slice_backbone = { name = "resnet", depth = 18, in_channels = 1 }
[[stage]]
name = "slices"
data = ["scans"]
objectives = [{ name = "crashing" }]
steps = 3
batch_size = 4
[stage.views.slice]
crops = [{ count = 2, size = 16, scale = [0.4, 1.0] }]
[[task]]
name = "organ"
plugin = { name = "segmentation", decoder_channels = [16, 8, 8, 4, 4] }
from = ["slices"]
data = "scans"
classes = [{ name = "organ", labels = [1] }]
size = 32
epochs = 1
batch_size = 8
)toml";

class ExperimentRun : public testing::Test {
 protected:
  void write(const std::string& sweep) {
    std::string text = crashing_experiment + sweep;
    text.replace(text.find("PLUGINS"), 7, IVORY_BINARY_DIR "/lib/test_plugins");
    std::ofstream(file_) << text;
  }
  std::string command(const std::string& options) const {
    return "IVORY_CACHE=" + (folder_.path() / "caches").string() +
           " timeout 300 " IVORY_BINARY_DIR "/bin/run-experiment " + file_.string() + " --output " + output_.string() +
           " " + options + " 2>&1";
  }
  Answer run(const std::string& options) const { return answer_of(command(options)); }

  // Folders of the store that hold the file.
  std::vector<std::filesystem::path> with(const std::string& name) const {
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(output_ / "store")) {
      if (std::filesystem::exists(entry.path() / name)) found.push_back(entry.path());
    }
    return found;
  }
  std::vector<std::filesystem::file_time_type> times(const std::vector<std::filesystem::path>& folders) const {
    std::vector<std::filesystem::file_time_type> all;
    for (const auto& one : folders) all.push_back(std::filesystem::last_write_time(one / "done.json"));
    return all;
  }

  data::testing::TemporaryFolder folder_;
  const std::filesystem::path file_ = folder_.path() / "tiny.toml";
  std::filesystem::path output_ = folder_.path() / "runs";
};

}  // namespace ivory::test
