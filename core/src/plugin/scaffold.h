#pragma once
// The start of a new plugin: a source that compiles and trains, its CMakeLists.txt, an experiment and a test.

#include <filesystem>
#include <string>
#include <vector>

namespace ivory::plugin {

// kind: "objective", "backbone" or "task". Writes NAME.cpp, NAME_test.cpp, NAME.toml and CMakeLists.txt ('-' in the
// name becomes '_' in file names) and returns their paths. Throws bad_request on a malformed name or kind, and writes
// nothing when one of the files exists.
std::vector<std::filesystem::path> write_scaffold(const std::string& name, const std::string& kind,
                                                  const std::filesystem::path& folder);

// Texts with @NAME@ (my-method), @FILE@ (my_method) and @CLASS@ (MyMethod).
struct ScaffoldTexts {
  const char* kind;
  const char* source;
  const char* test;
  const char* experiment;
};
const std::vector<ScaffoldTexts>& scaffold_texts();

}  // namespace ivory::plugin
