#include "plugin/scaffold.h"

#include <ivory/options.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "base/files.h"
#include "plugin/library.h"

namespace ivory::plugin {
namespace {

namespace fs = std::filesystem;

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

void check_kind(const std::string& kind) {
  const std::vector<std::string> kinds = {"objective", "backbone", "task"};
  if (std::find(kinds.begin(), kinds.end(), kind) != kinds.end()) return;
  const std::string close = nearest(kind, kinds);
  throw bad_request("unknown kind '", kind, "': expected objective, backbone or task",
                    close.empty() ? "" : "; did you mean '" + close + "'?");
}

// The example's text with its name, "my-method", replaced in its three forms.
std::string renamed(std::string text, const std::string& name) {
  const std::pair<std::string, std::string> forms[] = {
      {"my-method", name}, {"my_method", file_name(name)}, {"MyMethod", class_name(name)}};
  for (const auto& [form, value] : forms) {
    for (size_t at = 0; (at = text.find(form, at)) != std::string::npos; at += value.size()) {
      text.replace(at, form.size(), value);
    }
  }
  return text;
}

}  // namespace

std::vector<fs::path> write_scaffold(const std::string& name, const std::string& kind, const fs::path& folder) {
  check_name(name);
  check_kind(kind);
  const fs::path example = library_folder() / "ivory" / "new" / kind;
  std::vector<std::pair<fs::path, std::string>> files;
  for (const char* file : {"my_method.cpp", "my_method_test.cpp", "my_method.toml", "CMakeLists.txt"}) {
    files.emplace_back(folder / renamed(file, name), renamed(base::read_text(example / file), name));
    const auto& path = files.back().first;
    IVORY_CHECK(!fs::exists(path), "'", path.string(), "' exists already and is not overwritten; nothing was written");
  }
  std::error_code error;
  fs::create_directories(folder, error);
  IVORY_CHECK(!error, "cannot make the folder '", folder.string(), "': ", error.message());
  std::vector<fs::path> written;
  for (const auto& [path, text] : files) {
    base::write_derived(path, text);
    written.push_back(path);
  }
  return written;
}

}  // namespace ivory::plugin
