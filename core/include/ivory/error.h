#pragma once
// The project's one exception. Its message is one sentence: what, where, what was expected, what came.

#include <charconv>
#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace ivory {

// The exit codes of every tool.
enum class ExitCode : int { done = 0, run_failed = 1, bad_request = 2, missing_data = 3 };

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

// One part of a message. Texts and numbers are converted without a stream: with torch's headers around, every `<<`
// costs the compiler a search through hundreds of overloads.
class MessagePart {
 public:
  template <class T>
  MessagePart(const T& value) {  // NOLINT(google-explicit-constructor): parts are written as plain arguments
    if constexpr (std::is_convertible_v<const T&, std::string_view>) {
      text_ = std::string_view(value);
    } else if constexpr (std::is_same_v<T, bool>) {
      text_ = value ? "true" : "false";
    } else if constexpr (std::is_same_v<T, char>) {
      text_ = std::string(1, value);
    } else if constexpr (std::is_integral_v<T>) {
      text_ = std::to_string(value);
    } else if constexpr (std::is_floating_point_v<T>) {
      char digits[32];
      text_.assign(digits, std::to_chars(digits, digits + sizeof digits, value, std::chars_format::general, 6).ptr);
    } else {
      std::ostringstream stream;
      stream << value;
      text_ = stream.str();
    }
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

inline std::string joined(std::initializer_list<MessagePart> parts) {
  std::string text;
  for (const auto& part : parts) text += part.text();
  return text;
}

template <class... Parts>
Error bad_request(const Parts&... parts) {
  return Error(ExitCode::bad_request, joined({MessagePart(parts)...}));
}
template <class... Parts>
Error missing_data(const Parts&... parts) {
  return Error(ExitCode::missing_data, joined({MessagePart(parts)...}));
}
template <class... Parts>
Error run_failed(const Parts&... parts) {
  return Error(ExitCode::run_failed, joined({MessagePart(parts)...}));
}

}  // namespace ivory

// Fails with ExitCode::bad_request and the joined parts when the condition does not hold.
#define IVORY_CHECK(condition, ...)                            \
  do {                                                         \
    if (!(condition)) throw ::ivory::bad_request(__VA_ARGS__); \
  } while (false)
