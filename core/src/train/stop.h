#pragma once
// A request to stop: a signal sets it, trainers save and throw Interrupted at the next step.

#include <ivory/error.h>

#include <atomic>
#include <string>

namespace ivory::train {

// Set by SIGINT, SIGTERM and SIGUSR1 once install_signal_handlers was called. A second Ctrl-C ends the process at once.
std::atomic<bool>& stop_requested();
void install_signal_handlers();

class Interrupted : public Error {
 public:
  explicit Interrupted(const std::string& message) : Error(ExitCode::run_failed, message) {}
};

// A part that was only to train until some epoch: it has saved.
class Paused : public Interrupted {
 public:
  using Interrupted::Interrupted;
};

}  // namespace ivory::train
