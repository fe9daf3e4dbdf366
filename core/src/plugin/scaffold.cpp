#include "plugin/scaffold.h"

#include <ivory/options.h>

#include <cctype>
#include <fstream>

namespace ivory::plugin {
namespace {

namespace fs = std::filesystem;

constexpr char cmake_text[] = R"(cmake_minimum_required(VERSION 3.25)
project(@FILE@ LANGUAGES CXX)

# Ivory's installed SDK: configure with -DCMAKE_PREFIX_PATH=<the prefix given to cmake --install>.
find_package(Ivory REQUIRED)
ivory_add_plugin(@FILE@ @FILE@.cpp)

enable_testing()
add_executable(@FILE@_test @FILE@_test.cpp)
target_link_libraries(@FILE@_test PRIVATE Ivory::core)
add_test(NAME @FILE@ COMMAND @FILE@_test)
)";

std::string file_name(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

// "my-method" → "MyMethod"
std::string class_name(const std::string& name) {
  std::string text;
  bool capital = true;
  for (const char c : name) {
    if (c != '-') text += capital ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    capital = c == '-';
  }
  return text;
}

void check_name(const std::string& name) {
  const bool starts_well = !name.empty() && name.front() >= 'a' && name.front() <= 'z';
  const bool ends_well = !name.empty() && name.back() != '-' && name.find("--") == std::string::npos;
  const bool legal = std::all_of(name.begin(), name.end(),
                                 [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
  IVORY_CHECK(starts_well && ends_well && legal, "the name '", name,
              "' cannot be used: expected lower case letters and digits joined by '-', beginning with a letter, as in "
              "'my-method'");
}

const ScaffoldTexts& texts_of(const std::string& kind) {
  std::vector<std::string> kinds;
  for (const auto& texts : scaffold_texts()) {
    if (kind == texts.kind) return texts;
    kinds.emplace_back(texts.kind);
  }
  const std::string close = nearest(kind, kinds);
  throw bad_request("unknown kind '", kind, "': expected objective, backbone or task",
                    close.empty() ? "" : "; did you mean '" + close + "'?");
}

std::string filled(std::string text, const std::string& name) {
  const std::pair<std::string, std::string> fields[] = {
      {"@NAME@", name}, {"@FILE@", file_name(name)}, {"@CLASS@", class_name(name)}};
  for (const auto& [field, value] : fields) {
    for (size_t at = 0; (at = text.find(field, at)) != std::string::npos; at += value.size()) {
      text.replace(at, field.size(), value);
    }
  }
  return text;
}

}  // namespace

std::vector<fs::path> write_scaffold(const std::string& name, const std::string& kind, const fs::path& folder) {
  check_name(name);
  const ScaffoldTexts& texts = texts_of(kind);
  const std::string file = file_name(name);
  const std::vector<std::pair<fs::path, std::string>> files = {{folder / (file + ".cpp"), texts.source},
                                                               {folder / (file + "_test.cpp"), texts.test},
                                                               {folder / (file + ".toml"), texts.experiment},
                                                               {folder / "CMakeLists.txt", cmake_text}};
  for (const auto& [path, text] : files) {
    IVORY_CHECK(!fs::exists(path), "'", path.string(), "' exists already and is not overwritten; nothing was written");
  }
  std::error_code error;
  fs::create_directories(folder, error);
  IVORY_CHECK(!error, "cannot make the folder '", folder.string(), "': ", error.message());
  std::vector<fs::path> written;
  for (const auto& [path, text] : files) {
    std::ofstream out(path);
    out << filled(text, name);
    out.close();
    IVORY_CHECK(out, "cannot write '", path.string(), "'");
    written.push_back(path);
  }
  return written;
}

}  // namespace ivory::plugin
