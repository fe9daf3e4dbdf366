#pragma once
// The report's style and script, as they stand in the file.

#include <string_view>

namespace ivory::experiment {

extern const std::string_view report_style;
// Sorting tables by their headers; the report reads the same without it.
extern const std::string_view report_script;

}  // namespace ivory::experiment
