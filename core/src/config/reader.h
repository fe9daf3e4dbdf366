#pragma once
// From TOML text to nodes. The only user of toml++.

#include <filesystem>
#include <string>

#include "config/node.h"

namespace ivory::config {

// Throws ConfigError at the place of the first syntax error.
Node read_document(const std::string& text, const std::string& file);
// The text of a file. Throws bad_request with the system's reason.
std::string read_text(const std::filesystem::path& file);
// A TOML value; what is none is taken as a text. Everything gets `place`.
Node read_value(const std::string& text, const Place& place);

}  // namespace ivory::config
