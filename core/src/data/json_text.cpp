#include "data/json_text.h"

#include <ivory/error.h>

#include <nlohmann/json.hpp>

namespace ivory::data {

using nlohmann::json;

json parse_json(const std::string& text, int max_depth) {
  const auto check = [&](int depth, json::parse_event_t, json&) {
    IVORY_CHECK(depth <= max_depth, "not valid JSON: nested deeper than ", max_depth, " levels");
    return true;
  };
  try {
    return json::parse(text, check);
  } catch (const json::exception& error) {
    throw bad_request("not valid JSON: ", std::string(error.what()).substr(0, 160));
  }
}

}  // namespace ivory::data
