#include "run/shell.h"

#include <ivory/error.h>

#include <cstdio>

namespace ivory::experiment {

std::string shell_word(const std::string& word) {
  const char* const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./=:,@%";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

std::string output_of(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (!pipe) throw run_failed("cannot run ", command);
  std::string text;
  char block[4096];
  while (const size_t count = std::fread(block, 1, sizeof block, pipe)) text.append(block, count);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (const int status = ::pclose(pipe); status != 0) {
    throw run_failed(command.substr(0, command.find(' ')), " failed: ", text);
  }
  return text;
}

}  // namespace ivory::experiment
