#pragma once
// The kind of a file that is not what its name says.

#include <filesystem>
#include <string>

namespace ivory::base {

// By the first bytes: "a pointer of Git LFS, not the file itself (git lfs pull fetches it)", "a web page (HTML), …";
// empty for all that may be data.
std::string mistaken_file(const std::filesystem::path& file);

}  // namespace ivory::base
