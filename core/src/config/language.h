#pragma once
// The reference of the language, made from the declarations of its keys.

#include <map>
#include <string>

namespace ivory::config {

// A Markdown table of the keys of every kind of table: "experiment", "stage", "stage.views.slice", …
std::map<std::string, std::string> key_tables();
// The page with what stands between <!-- keys NAME --> and <!-- end --> made anew. Throws bad_request on a name that is
// no table, and on one that does not end.
std::string with_key_tables(const std::string& page);

}  // namespace ivory::config
