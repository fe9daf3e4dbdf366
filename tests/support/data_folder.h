#pragma once
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace ivory::test {

// A data set of those that tests know, in the folder that IVORY_DATA names; a user's own folder need not have it.
inline std::optional<std::filesystem::path> data_folder(const std::string& name) {
  const char* data = std::getenv("IVORY_DATA");
  const auto folder = std::filesystem::path(data ? data : "") / name;
  return data && std::filesystem::is_directory(folder) ? std::optional(folder) : std::nullopt;
}

}  // namespace ivory::test
