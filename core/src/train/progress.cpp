#include "train/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/text.h"

namespace ivory::train {

ProgressBar::ProgressBar(std::string label, int64_t total)
    : label_(std::move(label)), total_(total), terminal_(::isatty(STDERR_FILENO) == 1) {}

void ProgressBar::update(int64_t step, double seconds_left, double rate, double loss) {
  if (!terminal_) return;
  const auto now = std::chrono::steady_clock::now();
  if (drawn_ && now - last_ < std::chrono::milliseconds(100)) return;
  std::fprintf(stderr, "\r\033[K%s %s  step %lld/%lld  loss %.4g  %.1f images/s  %s left", label_.c_str(),
               bar(step, total_, 24).c_str(), static_cast<long long>(step), static_cast<long long>(total_), loss, rate,
               base::duration_text(seconds_left).c_str());
  std::fflush(stderr);
  last_ = now;
  drawn_ = true;
}

void ProgressBar::clear() {
  if (!drawn_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

std::string bar(int64_t done, int64_t total, int64_t width) {
  const double share = total > 0 ? std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0) : 1;
  const auto filled = static_cast<size_t>(std::floor(share * static_cast<double>(width)));
  std::string text(filled, '=');
  if (filled < static_cast<size_t>(width)) text += '>';
  text.resize(static_cast<size_t>(width), ' ');
  return "[" + text + "] " + std::to_string(static_cast<int>(share * 100)) + " %";
}

}  // namespace ivory::train
