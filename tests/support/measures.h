#pragma once
// Measures of an objective by their names.
#include <gtest/gtest.h>
#include <ivory/objective.h>

#include <string>
#include <vector>

namespace ivory::test {

inline Measure measure(const std::vector<Measure>& all, const std::string& name) {
  for (const Measure& one : all) {
    if (one.name == name) return one;
  }
  ADD_FAILURE() << "no measure '" << name << "'";
  return {};
}

inline double measured(const std::vector<Measure>& all, const std::string& name) {
  return measure(all, name).value;
}

}  // namespace ivory::test
