#pragma once
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace ivory::test {

// A file's bytes; none when it is not there.
inline std::string read(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace ivory::test
