#pragma once
// ivory cache info: what a cache holds, as text, fingerprint.json and fingerprint.html.

#include <string>
#include <vector>

namespace ivory::tools {

extern const char* const cache_info_usage;

int cache_info(const std::vector<std::string>& arguments);

}  // namespace ivory::tools
