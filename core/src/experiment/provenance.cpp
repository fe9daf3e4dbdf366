#include "experiment/provenance.h"

#include <ATen/Parallel.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "experiment/version.h"

namespace ivory::experiment {
namespace {

constexpr size_t longest_diff = 200'000;  // bytes kept of an uncommitted change

// What a git command prints in Ivory's source folder; empty when there is no git or no checkout.
std::string git(const std::string& arguments) {
  const std::string command = "git -C '" IVORY_SOURCE_DIR "' " + arguments + " 2>/dev/null";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string text;
  std::array<char, 4096> buffer;
  while (pipe && text.size() < longest_diff) {
    const size_t count = fread(buffer.data(), 1, buffer.size(), pipe.get());
    if (count == 0) break;
    text.append(buffer.data(), count);
  }
  return text;
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

}  // namespace

std::string host_name() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

nlohmann::json provenance(const std::string& command, const std::string& device) {
  const std::string diff = git("diff HEAD");
  return {{"version", version_text()},
          {"commit", first_line(git("rev-parse HEAD"))},
          {"dirty", !git("status --porcelain").empty()},
          {"diff", diff},
          {"command", command},
          {"device", device},
          {"cpu", cpu_name()},
          {"cores", std::thread::hardware_concurrency()},
          {"threads", at::get_num_threads()},
          {"host", host_name()},
          {"started", utc_now()}};
}

}  // namespace ivory::experiment
