#pragma once
// Exit codes beside ExitCode, and which of two counts.

#include <ivory/error.h>

namespace ivory::experiment {

// A run was told to stop and has saved: the same command continues it. (EX_TEMPFAIL: try it again.)
constexpr int interrupted_exit = 75;
// A part has come to the epoch until which it was to train.
constexpr int paused_exit = 76;

// A run that failed is worse than a request or data that are wrong; of those the last one counts.
inline void worsen(ExitCode& worst, ExitCode code) {
  if (code != ExitCode::done && worst != ExitCode::run_failed) worst = code;
}

}  // namespace ivory::experiment
