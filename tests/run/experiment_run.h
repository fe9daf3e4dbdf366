#pragma once
// A tiny experiment on the phantom, and run-experiment as a user calls it.

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "data/cache_fixtures.h"
#include "support/command.h"
#include "support/paths.h"
#include "support/read.h"

namespace ivory::test {

class ExperimentRun : public testing::Test {
 protected:
  void write(const std::string& sweep) {
    std::string text = read(test::source_dir() + "/tests/support/crashing.toml") + sweep;
    text.replace(text.find("PLUGINS"), 7, test::build_dir() + "/lib/test_plugins");
    std::ofstream(file_) << text;
  }
  std::string command(const std::string& options) const {
    return "IVORY_CACHE=" + (folder_.path() / "caches").string() + " timeout 300 " + test::build_dir() +
           "/bin/run-experiment " + file_.string() + " --output " + output_.string() + " " + options + " 2>&1";
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
