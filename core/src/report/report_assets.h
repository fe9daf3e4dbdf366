#pragma once
// The head, style and script of pages, as they stand in the file.

#include <string>
#include <string_view>

namespace ivory::experiment {

extern const std::string_view report_style;
// From the first line of the file to <body>: it loads nothing from elsewhere. With `asks_server` its script may ask the
// server that it came from.
std::string page_head(const std::string& title, bool asks_server = false);
// Sorting tables by their headers; the report reads the same without it.
extern const std::string_view report_script;
// Stands before it: asks the server for its tag and takes over the sections that have changed.
std::string live_script(const std::string& tag);

}  // namespace ivory::experiment
