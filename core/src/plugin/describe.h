#pragma once
// What plugins say of themselves, for the terminal and for the generated reference.

#include <string>

#include "plugin/catalogue.h"

namespace ivory::plugin {

enum class Format { text, markdown };

// Kind, name, summary and library of every plugin, one a line.
std::string list_plugins(const Catalogue& catalogue);
// Summary, source and every option of the plugins of that name; of all plugins when it is empty. Throws bad_request on
// an unknown name, with the nearest one.
std::string describe_plugins(const Catalogue& catalogue, const std::string& name, Format format);

}  // namespace ivory::plugin
