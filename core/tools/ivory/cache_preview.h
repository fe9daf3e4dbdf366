#pragma once
// ivory cache preview: a contact sheet of augmented views.

#include <string>
#include <vector>

namespace ivory::tools {

extern const char* const cache_preview_usage;

int cache_preview(const std::vector<std::string>& arguments);

}  // namespace ivory::tools
