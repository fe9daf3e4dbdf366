#pragma once
// Runs a script with the project's Python: independent readers of what Ivory writes.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "support/command.h"
#include "support/paths.h"

namespace ivory::test {

inline std::filesystem::path python() {
  return std::filesystem::path(test::source_dir()) / ".venv/bin/python";
}

inline bool python_has(const std::string& module) {
  const std::string probe = python().string() + " -c 'import " + module + "' 2> /dev/null";
  return std::system(probe.c_str()) == 0;
}

// What the script (below tests/) prints. A script that fails, fails the test with its message.
inline std::string run_python(const std::string& script, const std::vector<std::string>& arguments) {
  std::string command = python().string() + " " + test::source_dir() + "/tests/" + script;
  for (const std::string& argument : arguments) command += " '" + argument + "'";
  const Answer answer = answer_of(command + " 2>&1");
  EXPECT_EQ(answer.code, 0) << command << "\n" << answer.text;
  return answer.text;
}

}  // namespace ivory::test
