#pragma once
// The mistakes found so far.

#include <set>
#include <string>
#include <tuple>

#include "config/node.h"

namespace ivory::config {

class Diagnostics {
 public:
  // The same mistake at the same place (of several points of a sweep) is kept once.
  void add(const Place& place, const std::string& message);
  // Throws ConfigError with all of them: files by name, each by line, then the command line.
  void throw_if_any() const;

 private:
  std::set<std::tuple<bool, std::string, int, int, std::string>> found_;  // command line?, file, line, column, message
};

// "; did you mean 'x'?", "; known: a, b", or "" without candidates.
std::string suggestion(const std::string& word, const std::vector<std::string>& candidates,
                       const std::string& before = "", const std::string& after = "");

}  // namespace ivory::config
