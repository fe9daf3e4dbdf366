#include "train/stop.h"

#include <csignal>

namespace ivory::train {
namespace {

void request_stop(int) {
  stop_requested().store(true);
}

}  // namespace

std::atomic<bool>& stop_requested() {
  static_assert(std::atomic<bool>::is_always_lock_free);
  static std::atomic<bool> requested{false};
  return requested;
}

void install_signal_handlers() {
  stop_requested();
  struct sigaction action = {};
  action.sa_handler = request_stop;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGUSR1, &action, nullptr);
  action.sa_flags = static_cast<int>(SA_RESTART | SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace ivory::train
