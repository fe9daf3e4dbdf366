#include "plan/provenance.h"

#include <ATen/Parallel.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <map>
#include <memory>
#include <thread>

#include "base/lock.h"
#include "plan/version.h"

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

// "Debian GNU/Linux 12 (bookworm)"
std::string system_name() {
  std::ifstream in("/etc/os-release");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("PRETTY_NAME=\"")) return line.substr(13, line.rfind('"') - 13);
  }
  return "unknown";
}

std::string kernel_name() {
  utsname names{};
  uname(&names);
  return std::string(names.sysname) + " " + names.release + " " + names.machine;
}

int64_t memory_mib() {
  return sysconf(_SC_PHYS_PAGES) / 1024 * sysconf(_SC_PAGESIZE) / 1024;
}

// The variables that change what runs here, or how fast.
std::map<std::string, std::string> environment() {
  std::map<std::string, std::string> found;
  for (char** entry = environ; *entry; ++entry) {
    const std::string text = *entry;
    for (const char* prefix : {"IVORY_", "OMP_", "MKL_", "CUDA_"}) {
      if (text.starts_with(prefix)) found[text.substr(0, text.find('='))] = text.substr(text.find('=') + 1);
    }
  }
  return found;
}

}  // namespace

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

Provenance provenance(const std::string& command, const std::string& device, bool smoke) {
  const bool dirty = !git("status --porcelain").empty();
  return {.version = version_text(),
          .commit = first_line(git("rev-parse HEAD")),
          .dirty = dirty,
          .diff = dirty ? git("diff HEAD") : "",
          .command = command,
          .device = device,
          .cpu = cpu_name(),
          .cores = std::thread::hardware_concurrency(),
          .threads = at::get_num_threads(),
          .memory_mib = memory_mib(),
          .host = base::host_name(),
          .os = system_name(),
          .kernel = kernel_name(),
          .environment = environment(),
          .started = utc_now(),
          .smoke = smoke};
}

}  // namespace ivory::experiment
