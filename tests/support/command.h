#pragma once
// A shell command, run to its end.
#include <sys/wait.h>

#include <cstdio>
#include <string>

namespace ivory::test {

struct Answer {
  int code = -1;     // exit code; -1 when a signal ended it
  std::string text;  // stdout
};

inline Answer answer_of(const std::string& command) {
  Answer answer;
  FILE* pipe = ::popen(command.c_str(), "r");
  if (!pipe) return answer;
  char block[4096];
  while (const size_t count = std::fread(block, 1, sizeof block, pipe)) answer.text.append(block, count);
  const int status = ::pclose(pipe);
  if (WIFEXITED(status)) answer.code = WEXITSTATUS(status);
  return answer;
}

}  // namespace ivory::test
