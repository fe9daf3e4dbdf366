#pragma once
// The numbers that a key may have.

#include <limits>

namespace ivory::config {

struct Range {
  double minimum = -std::numeric_limits<double>::infinity();
  double maximum = std::numeric_limits<double>::infinity();
  bool above = false;  // the minimum itself is excluded
  bool below = false;  // the maximum itself is excluded
};
inline Range at_least(double minimum) {
  return {.minimum = minimum};
}
inline Range above(double minimum) {
  return {.minimum = minimum, .above = true};
}
inline Range between(double minimum, double maximum) {
  return {.minimum = minimum, .maximum = maximum};
}
inline Range from_up_to_below(double minimum, double maximum) {
  return {.minimum = minimum, .maximum = maximum, .below = true};
}
inline Range above_up_to(double minimum, double maximum) {
  return {.minimum = minimum, .maximum = maximum, .above = true};
}
inline Range inside(double minimum, double maximum) {
  return {.minimum = minimum, .maximum = maximum, .above = true, .below = true};
}

}  // namespace ivory::config
