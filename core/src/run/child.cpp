#include "run/child.h"

#include <fcntl.h>
#include <ivory/error.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "base/text.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

// The number after `key` in a file of "key number" lines.
std::optional<int64_t> counter(const fs::path& file, const std::string& key) {
  std::ifstream in(file);
  std::string name;
  for (int64_t value = 0; in >> name >> value;) {
    if (name == key) return value;
  }
  return {};
}

// "0::/user.slice/x" of /proc/self/cgroup.
fs::path control_group() {
  std::ifstream in("/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("0::/")) return fs::path("/sys/fs/cgroup") / line.substr(4);
  }
  return {};
}

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& more) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry; ++entry) {
    const std::string text = *entry;
    if (!more.contains(text.substr(0, text.find('=')))) merged.push_back(text);
  }
  for (const auto& [name, value] : more) merged.push_back(name + "=" + value);
  return merged;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (const auto& text : texts) all.push_back(const_cast<char*>(text.c_str()));
  all.push_back(nullptr);
  return all;
}

// How many processes of this process's control group the system has killed for lack of memory; of the whole machine
// where the group does not say.
int64_t kills_for_memory() {
  const auto of_group = counter(control_group() / "memory.events", "oom_kill");
  return of_group ? *of_group : counter("/proc/vmstat", "oom_kill").value_or(0);
}

}  // namespace

Child::Child(const std::vector<std::string>& command, const std::map<std::string, std::string>& environment,
             const fs::path& log)
    : kills_before_(kills_for_memory()), began_(std::chrono::steady_clock::now()) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  const auto merged = merged_environment(environment);
  const auto arguments = pointers(command), variables = pointers(merged);
  const int error = posix_spawn(&pid_, arguments[0], &files, &attributes, arguments.data(), variables.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (error != 0)
    throw run_failed("cannot start ", command.front(), " with its log ", log.string(), ": ", std::strerror(error));
}

Child::~Child() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), kills_before_(other.kills_before_), began_(other.began_) {}

std::optional<ChildEnd> Child::poll() {
  ChildEnd end;
  rusage usage = {};
  if (::wait4(pid_, &end.status, WNOHANG, &usage) != pid_) return {};
  pid_ = -1;
  end.peak_bytes = usage.ru_maxrss * 1024;
  end.short_of_memory = kills_for_memory() > kills_before_;
  end.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
  return end;
}

void Child::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

std::string death_of(const ChildEnd& end) {
  if (!WIFSIGNALED(end.status)) return "";
  const int number = WTERMSIG(end.status);
  if (number == SIGKILL) {
    const std::string had =
        end.peak_bytes > 0 ? " (it had " + base::size_text(static_cast<double>(end.peak_bytes)) + ")" : "";
    if (end.short_of_memory) return "killed: out of memory" + had;
    return "killed by SIGKILL, by somebody or for lack of memory" + had;
  }
  const char* name = ::sigabbrev_np(number);
  const std::string signal = name ? std::string("SIG") + name : "signal " + std::to_string(number);
  if (number == SIGTERM || number == SIGINT || number == SIGHUP) return "stopped by " + signal;
  return "crashed with " + signal + " (" + ::sigdescr_np(number) + ")";
}

void end_with_parent(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::raise(SIGTERM);
}

}  // namespace ivory::experiment
