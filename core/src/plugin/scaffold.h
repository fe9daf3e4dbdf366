#pragma once
// The start of a new plugin: a source that compiles and trains, its CMakeLists.txt, an experiment and a test. They are
// copies of docs/examples/new/KIND, installed beside the plugins.

#include <filesystem>
#include <string>
#include <vector>

namespace ivory::plugin {

// kind: "objective", "backbone" or "task". Writes NAME.cpp, NAME_test.cpp, NAME.toml and CMakeLists.txt ('-' in the
// name becomes '_' in file names) and returns their paths. Throws bad_request on a malformed name or kind, and writes
// nothing when one of the files exists.
std::vector<std::filesystem::path> write_scaffold(const std::string& name, const std::string& kind,
                                                  const std::filesystem::path& folder);

}  // namespace ivory::plugin
