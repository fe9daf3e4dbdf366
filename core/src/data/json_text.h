#pragma once
// JSON of foreign files.

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace ivory::data {

// Throws bad_request when the text is not JSON, or nests deeper than `max_depth` lists and objects: a value is copied,
// compared and written by recursion. The sentence does not name the file.
nlohmann::json parse_json(const std::string& text, int max_depth = 32);

}  // namespace ivory::data
