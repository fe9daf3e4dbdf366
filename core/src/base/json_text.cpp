#include "base/json_text.h"

#include <ivory/error.h>

#include <nlohmann/json.hpp>

#include "base/files.h"

namespace ivory::base {

using nlohmann::json;

json visit_json(std::string_view text, const JsonVisitor& visit) {
  static_assert(static_cast<int>(json::parse_event_t::object_start) == static_cast<int>(JsonEvent::object_start) &&
                static_cast<int>(json::parse_event_t::object_end) == static_cast<int>(JsonEvent::object_end) &&
                static_cast<int>(json::parse_event_t::array_start) == static_cast<int>(JsonEvent::array_start) &&
                static_cast<int>(json::parse_event_t::array_end) == static_cast<int>(JsonEvent::array_end) &&
                static_cast<int>(json::parse_event_t::key) == static_cast<int>(JsonEvent::key) &&
                static_cast<int>(json::parse_event_t::value) == static_cast<int>(JsonEvent::value));
  try {
    return json::parse(text, [&](int depth, json::parse_event_t event, json& value) {
      return visit(depth, static_cast<JsonEvent>(event), value);
    });
  } catch (const json::exception& error) {
    throw bad_request("not valid JSON: ", std::string(error.what()).substr(0, 160));
  }
}

json parse_json(std::string_view text, int max_depth) {
  return visit_json(text, [max_depth](int depth, JsonEvent event, json&) {
    const bool opens = event == JsonEvent::object_start || event == JsonEvent::array_start;
    IVORY_CHECK(depth + opens <= max_depth, "not valid JSON: nested deeper than ", max_depth, " levels");
    return true;
  });
}

std::optional<json> json_or_nothing(std::string_view text) {
  try {
    return parse_json(text);
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::optional<json> read_json_file(const std::filesystem::path& file) {
  try {
    return parse_json(read_text(file));
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string dump(const json& value, int indent) {
  return value.dump(indent, ' ', false, json::error_handler_t::replace);
}

}  // namespace ivory::base
