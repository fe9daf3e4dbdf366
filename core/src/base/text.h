#pragma once
// Small texts that logs, reports and messages have in common.

#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace ivory::base {

// The items' texts in a row: "a, b, c". `text` makes a text of an item.
template <class Items, class Text = std::identity>
std::string joined(const Items& items, std::string_view separator = ", ", const Text& text = {}) {
  std::string all;
  bool first = true;
  for (const auto& item : items) {
    if (!std::exchange(first, false)) all += separator;
    all += std::invoke(text, item);
  }
  return all;
}

std::string trimmed(std::string_view text);  // without the white space at its ends
std::string duration_text(double seconds);   // "45 s", "2 min 48 s", "3 min", "2 h 5 min"
std::string size_text(double bytes);         // "0.4 MiB", "139 MiB", "1.5 GiB"
std::string number(double value);            // four significant digits: "0.6931", "1.5e-05"

}  // namespace ivory::base
