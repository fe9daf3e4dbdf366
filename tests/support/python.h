#pragma once
// Runs a script with the project's Python: independent readers of what Ivory writes.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

namespace ivory::test {

inline std::filesystem::path python() {
  return std::filesystem::path(IVORY_SOURCE_DIR) / ".venv/bin/python";
}

inline bool python_has(const std::string& module) {
  const std::string probe = python().string() + " -c 'import " + module + "' 2> /dev/null";
  return std::system(probe.c_str()) == 0;
}

// What the script (below tests/) prints. A script that fails, fails the test with its message.
inline std::string run_python(const std::string& script, const std::vector<std::string>& arguments) {
  std::string command = python().string() + " " + IVORY_SOURCE_DIR + "/tests/" + script;
  for (const std::string& argument : arguments) command += " '" + argument + "'";
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::string output;
  char block[4096];
  while (const size_t read = std::fread(block, 1, sizeof block, pipe)) output.append(block, read);
  const int status = ::pclose(pipe);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << command << "\n" << output;
  return output;
}

}  // namespace ivory::test
