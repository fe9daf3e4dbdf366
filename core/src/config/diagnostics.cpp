#include "config/diagnostics.h"

#include <ivory/options.h>

#include "base/text.h"
#include "config/experiment.h"

namespace ivory::config {

ConfigError::ConfigError(std::vector<std::string> messages)
    : Error(ExitCode::bad_request, base::joined(messages, "\n")), messages_(std::move(messages)) {}

void Diagnostics::add(const Place& place, const std::string& message) {
  found_.emplace(place.line == 0, place.file ? *place.file : "", place.line, place.column, message);
}

void Diagnostics::throw_if_any() const {
  if (found_.empty()) return;
  std::vector<std::string> messages;
  for (const auto& [command_line, file, line, column, message] : found_) {
    messages.push_back(command_line
                           ? file + ": " + message
                           : file + ":" + std::to_string(line) + ":" + std::to_string(column) + ": " + message);
  }
  throw ConfigError(std::move(messages));
}

std::string suggestion(const std::string& word, const std::vector<std::string>& candidates, const std::string& before,
                       const std::string& after) {
  if (candidates.empty()) return "";
  const std::string close = nearest(word, candidates);
  if (!close.empty()) return "; did you mean '" + before + close + after + "'?";
  return "; known: " + base::joined(candidates);
}

}  // namespace ivory::config
