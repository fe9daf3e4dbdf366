#pragma once
// The head, style and script of pages, as they stand in the file.

#include <string>
#include <string_view>

namespace ivory::experiment {

extern const std::string_view report_style;
// From the first line of the file to <body>: it loads nothing from elsewhere.
std::string page_head(const std::string& title);
// Sorting tables by their headers; the report reads the same without it.
extern const std::string_view report_script;

}  // namespace ivory::experiment
