// ivory language: the keys of experiments, as Markdown.
#include "config/language.h"

#include <ivory/error.h>

#include <fstream>
#include <iostream>
#include <sstream>

#include "commands.h"

namespace ivory::tools {
namespace {

constexpr const char* usage =
    "usage: ivory language          print the tables of all keys\n"
    "       ivory language PAGE     make the tables of a Markdown page anew, between <!-- keys NAME --> and <!-- end "
    "-->\n";

std::string read(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  if (!(text << stream.rdbuf())) throw bad_request("ivory language: cannot read ", file);
  return text.str();
}

}  // namespace

int run_language(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    for (const auto& [name, table] : config::key_tables()) std::cout << "## " << name << "\n\n" << table << "\n";
    return 0;
  }
  if (arguments[0] == "--help" || arguments[0] == "-h") {
    std::cout << usage;
    return 0;
  }
  IVORY_CHECK(arguments.size() == 1, "ivory language: expected one page, got ", arguments.size(), "; ", usage);
  const std::string made = config::with_key_tables(read(arguments[0]));
  std::ofstream out(arguments[0], std::ios::binary);
  if (!(out << made).flush()) throw run_failed("ivory language: cannot write ", arguments[0]);
  return 0;
}

}  // namespace ivory::tools
