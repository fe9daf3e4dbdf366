#pragma once
// The kind of a file that is not what its name says.

#include <filesystem>
#include <string>
#include <string_view>

namespace ivory::base {

// By the first bytes: "a pointer of Git LFS, not the file itself (git lfs pull fetches it)", "a web page (HTML), …";
// empty for all that may be data.
std::string mistaken_file(const std::filesystem::path& file);
std::string mistaken_text(std::string_view text);  // of a file that begins so

}  // namespace ivory::base
