#pragma once
// Options of a plugin, declared once: from the declaration come parsing, error texts, `ivory plugins describe` and
// docs.

#include <ivory/error.h>

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace ivory {

using OptionValue = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<double>,
                                 std::vector<std::string>>;

struct Option {
  std::string name;
  OptionValue fallback;                                       // the default; its alternative is the option's type
  std::string help;                                           // one sentence
  double minimum = -std::numeric_limits<double>::infinity();  // inclusive; numbers and elements of lists of numbers
  double maximum = std::numeric_limits<double>::infinity();   // inclusive
  std::vector<std::string> choices = {};                      // texts only: the values allowed
  std::string unit = "";
  std::string source = "";  // paper and equation
  // Left out of a part's identity at its default, so that parts recorded before the option existed stay valid.
  bool added_later = false;
};

// "true", "0.1", "[4, 4, 4]", "\"slice\"": as it is written in TOML.
std::string to_text(const OptionValue& value);
// "boolean", "integer", "real", "text", "list of integers", …
std::string type_name(const OptionValue& value);
// An empty string when the value has the declared type, range and choices, else what was expected and what came.
std::string violation(const Option& option, const OptionValue& value);

// The values of one plugin's options: every declared option has one.
class Options {
 public:
  Options() = default;
  explicit Options(const std::vector<Option>& declared);  // all at their defaults

  // Throws bad_request on an undeclared name, a wrong type (an integer is taken for a real) or a violated range.
  void set(const std::string& name, OptionValue value);
  template <class T>
  T get(const std::string& name) const;
  const std::map<std::string, OptionValue>& values() const { return values_; }
  const std::vector<Option>& declared() const { return declared_; }

 private:
  std::vector<Option> declared_;
  std::map<std::string, OptionValue> values_;
};

template <class T>
T Options::get(const std::string& name) const {
  const auto found = values_.find(name);
  IVORY_CHECK(found != values_.end(), "option '", name, "' is read but was never declared");
  const T* value = std::get_if<T>(&found->second);
  IVORY_CHECK(value, "option '", name, "' is declared as ", type_name(found->second), " but read as another type");
  return *value;
}

// The candidate with the smallest edit distance if it is close enough to be a typing error, else "".
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace ivory
