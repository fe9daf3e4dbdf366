#pragma once
// Pages in a real browser.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <string>

namespace ivory::test {

inline constexpr const char* browser = "chromium";

inline std::filesystem::path browser_folder() {
  const auto path = std::filesystem::path(::testing::TempDir()) / "ivory_report_browser";
  std::filesystem::create_directories(path);
  return path;
}

inline std::string read_file(const std::filesystem::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

struct Visit {
  std::string dom;
  std::string console;   // lines that the page or its errors wrote
  nlohmann::json found;  // what the test's script left in <body data-found>
};

// Opens the page with a script of the test after its own.
inline Visit visit(const std::string& html, const std::string& script) {
  const auto page = browser_folder() / "report.html", log = browser_folder() / "log.txt",
             dom = browser_folder() / "dom.html";
  std::ofstream(page) << html << "<script>" << script << "</script>";
  const std::string command =
      std::string("timeout 100 ") + browser +
      " --headless=new --no-sandbox --disable-gpu --window-size=1100,900 --enable-logging=stderr"
      " --virtual-time-budget=5000 --host-resolver-rules='MAP * ~NOTFOUND'"
      " --user-data-dir=" +
      (browser_folder() / "profile").string() + " --dump-dom file://" + page.string() + " > " + dom.string() + " 2> " +
      log.string();
  EXPECT_EQ(std::system(command.c_str()), 0) << read_file(log);
  Visit result{.dom = read_file(dom), .console = "", .found = {}};
  std::istringstream lines(read_file(log));
  for (std::string line; std::getline(lines, line);) {
    if (line.find("CONSOLE") != std::string::npos) result.console += line + "\n";
  }
  std::smatch match;
  if (std::regex_search(result.dom, match, std::regex("data-found=\"([^\"]*)\""))) {
    result.found = nlohmann::json::parse(std::regex_replace(match[1].str(), std::regex("&quot;"), "\""));
  }
  return result;
}

inline bool has_browser() {
  return std::system((std::string("command -v ") + browser + " > /dev/null").c_str()) == 0;
}

class InBrowser : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_browser()) GTEST_SKIP() << browser << " is not installed (scripts/test installs it)";
  }
};

}  // namespace ivory::test
