#pragma once
// A process of our own: started with its output in a file, watched, told to stop; and what its end means.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ivory::experiment {

struct ChildEnd {
  int status = 0;                // as waitpid gives it
  int64_t peak_bytes = 0;        // largest resident size; 0: not known
  bool short_of_memory = false;  // the system killed for lack of memory while it ran
  double seconds = 0;
};

// In a process group of its own, so that a terminal's Ctrl-C reaches only the parent; killed when destroyed alive.
class Child {
 public:
  // `environment`: beside what this process has. `log` is appended to. Throws run_failed when it cannot be started.
  Child(const std::vector<std::string>& command, const std::map<std::string, std::string>& environment,
        const std::filesystem::path& log);
  ~Child();
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;

  std::optional<ChildEnd> poll();  // without waiting; call it no more once it has answered
  void signal(int number) const;
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int64_t kills_before_ = 0;
  std::chrono::steady_clock::time_point began_;
};

// "crashed with SIGSEGV (segmentation fault)", "killed: out of memory (it had 3.1 GiB)"; "" when it exited by itself.
std::string death_of(const ChildEnd& end);

// When the process that started this one dies, this one gets SIGTERM. Call it early; `parent`: its pid.
void end_with_parent(pid_t parent);

}  // namespace ivory::experiment
