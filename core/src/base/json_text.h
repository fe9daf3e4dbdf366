#pragma once
// The only place where JSON is parsed and written as text: instantiating nlohmann's parser costs every file that does
// so seconds to compile. Nothing parsed nests deeper than `max_depth`: a value is copied, compared and written by
// recursion.

#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace ivory::base {

inline constexpr int max_json_depth = 32;

// Throws bad_request when the text is no JSON. The sentence does not name the file.
nlohmann::json parse_json(std::string_view text, int max_depth = max_json_depth);
// Empty when the text is no JSON: for records that a killed process may have left damaged.
std::optional<nlohmann::json> json_or_nothing(std::string_view text);
// Empty when the file cannot be read or is no JSON.
std::optional<nlohmann::json> read_json_file(const std::filesystem::path& file);

// Compact, or over several lines with `indent` blanks a level. Keys are sorted, so that equal values have equal texts.
// Bytes that are no UTF-8 are replaced.
std::string dump(const nlohmann::json& value, int indent = -1);

// Parses while it looks at what comes. `depth` counts open lists and objects. After object_end, array_end and value the
// value is whole, and false drops it from what is returned; after key it is the key. Errors that `visit` throws pass
// through.
enum class JsonEvent { object_start, object_end, array_start, array_end, key, value };
using JsonVisitor = std::function<bool(int depth, JsonEvent event, nlohmann::json& value)>;
nlohmann::json visit_json(std::string_view text, const JsonVisitor& visit);

}  // namespace ivory::base
