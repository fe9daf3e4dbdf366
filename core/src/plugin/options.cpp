#include <ivory/options.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <type_traits>

#include "base/text.h"

namespace ivory {
namespace {

template <class T>
struct ListElement : std::false_type {};
template <class T>
struct ListElement<std::vector<T>> : std::true_type {};
template <class T>
inline constexpr bool is_list = ListElement<T>::value;

std::string text_of(bool value) {
  return value ? "true" : "false";
}
std::string text_of(int64_t value) {
  return std::to_string(value);
}

// The shortest text that reads back to the same value; "1.0", never "1", which TOML takes for an integer.
std::string text_of(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char digits[40];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  std::string text(digits, end);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string text_of(const std::string& value) {
  std::string text = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      text += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04X", static_cast<unsigned>(static_cast<unsigned char>(c)));
      text += escape;
    } else {
      text += c;
    }
  }
  return text + "\"";
}

template <class T>
std::string text_of(const std::vector<T>& values) {
  std::string text = "[";
  for (const auto& value : values) text += (text.size() > 1 ? ", " : "") + text_of(value);
  return text + "]";
}

bool empty_list(const OptionValue& value) {
  return std::visit(
      [](const auto& v) {
        if constexpr (is_list<std::decay_t<decltype(v)>>) return v.empty();
        return false;
      },
      value);
}

// The value in the declared type where nothing is lost: an integer as a real, an empty list as any list.
OptionValue converted(const OptionValue& declared, const OptionValue& value) {
  if (declared.index() == value.index()) return value;
  if (std::holds_alternative<double>(declared) && std::holds_alternative<int64_t>(value)) {
    return static_cast<double>(std::get<int64_t>(value));
  }
  return std::visit(
      [&](const auto& target) -> OptionValue {
        using Target = std::decay_t<decltype(target)>;
        if constexpr (is_list<Target>) {
          if (empty_list(value)) return Target{};
        }
        if constexpr (std::is_same_v<Target, std::vector<double>>) {
          if (const auto* integers = std::get_if<std::vector<int64_t>>(&value)) {
            return Target(integers->begin(), integers->end());
          }
        }
        return value;
      },
      declared);
}

std::string expected_range(const Option& option, const char* what) {
  const bool low = std::isfinite(option.minimum), high = std::isfinite(option.maximum);
  const auto number = [&](double limit) {
    const bool integers = std::holds_alternative<int64_t>(option.fallback) ||
                          std::holds_alternative<std::vector<int64_t>>(option.fallback);
    return (integers ? std::to_string(static_cast<int64_t>(limit)) : text_of(limit)) +
           (option.unit.empty() ? "" : " " + option.unit);
  };
  std::string text = what;
  if (low && high) return text + " from " + number(option.minimum) + " to " + number(option.maximum);
  if (low) return text + " of at least " + number(option.minimum);
  if (high) return text + " of at most " + number(option.maximum);
  return text;
}

std::string violated(const Option&, bool) {
  return "";
}

std::string violated(const Option& option, int64_t value) {
  const auto real = static_cast<double>(value);
  if (real >= option.minimum && real <= option.maximum) return "";
  return "expected " + expected_range(option, "an integer") + ", got " + text_of(value);
}

std::string violated(const Option& option, double value) {
  if (std::isfinite(value) && value >= option.minimum && value <= option.maximum) return "";
  return "expected " + expected_range(option, std::isfinite(value) ? "a real number" : "a finite number") + ", got " +
         text_of(value);
}

std::string violated(const Option& option, const std::string& value) {
  const auto& choices = option.choices;
  if (choices.empty() || std::find(choices.begin(), choices.end(), value) != choices.end()) return "";
  const std::string allowed = base::joined(choices, ", ", [](const auto& choice) { return text_of(choice); });
  const std::string close = nearest(value, choices);
  return "expected one of " + allowed + ", got " + text_of(value) +
         (close.empty() ? "" : "; did you mean " + text_of(close) + "?");
}

template <class T>
std::string violated(const Option& option, const std::vector<T>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    const std::string message = violated(option, static_cast<T>(values[i]));
    if (!message.empty()) return "element " + std::to_string(i + 1) + ": " + message;
  }
  return "";
}

// Lower case, '_' as '-': what typing errors do not change.
std::string folded(const std::string& word) {
  std::string text;
  for (const char c : word) text += c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string to_text(const OptionValue& value) {
  return std::visit([](const auto& v) { return text_of(v); }, value);
}

std::string type_name(const OptionValue& value) {
  static constexpr const char* names[] = {"boolean",          "integer",       "real",         "text",
                                          "list of integers", "list of reals", "list of texts"};
  static_assert(std::size(names) == std::variant_size_v<OptionValue>);
  return names[value.index()];
}

std::string violation(const Option& option, const OptionValue& value) {
  const OptionValue typed = converted(option.fallback, value);
  if (typed.index() != option.fallback.index()) {
    return "expected " + type_name(option.fallback) + ", got " + type_name(value) + " " + to_text(value);
  }
  return std::visit([&](const auto& v) { return violated(option, v); }, typed);
}

Options::Options(const std::vector<Option>& declared) : declared_(declared) {
  for (const auto& option : declared_) values_[option.name] = option.fallback;
}

void Options::set(const std::string& name, OptionValue value) {
  const auto option = std::find_if(declared_.begin(), declared_.end(), [&](const auto& o) { return o.name == name; });
  if (option == declared_.end()) {
    std::vector<std::string> known;
    for (const auto& o : declared_) known.push_back(o.name);
    const std::string close = nearest(name, known);
    throw bad_request("unknown option '", name, "'",
                      close.empty() ? "; known: " + (known.empty() ? "none" : base::joined(known))
                                    : "; did you mean '" + close + "'?");
  }
  const std::string message = violation(*option, value);
  IVORY_CHECK(message.empty(), "option '", name, "': ", message);
  values_[name] = converted(option->fallback, value);
}

std::string nearest(const std::string& word, const std::vector<std::string>& candidates) {
  const std::string wanted = folded(word);
  std::string best;
  size_t best_distance = std::numeric_limits<size_t>::max();
  for (const auto& candidate : candidates) {
    const std::string other = folded(candidate);
    const size_t distance = edit_distance(wanted, other);
    const size_t longer = std::max(wanted.size(), other.size());
    const size_t limit = std::max<size_t>(1, longer / 3);
    if (distance <= limit && distance < std::min(wanted.size(), other.size()) && distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace ivory
