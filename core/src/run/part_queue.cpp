#include "run/part_queue.h"

#include <algorithm>

namespace ivory::experiment {

size_t PartQueue::add(const std::string& key, QueuedPart entry) {
  const auto [found, added] = numbers_.try_emplace(key, entries_.size());
  if (added) entries_.push_back(std::move(entry));
  return found->second;
}

std::vector<size_t> PartQueue::ready() {
  std::vector<size_t> found;
  for (size_t i = 0; i < entries_.size(); ++i) {
    QueuedPart& entry = entries_[i];
    if (entry.state != QueueState::waiting) continue;
    const auto is = [&](size_t input, QueueState state) { return entries_[input].state == state; };
    const auto lost = std::ranges::find_if(
        entry.inputs, [&](size_t input) { return is(input, QueueState::failed) || is(input, QueueState::left); });
    if (lost != entry.inputs.end()) {
      entry.state = QueueState::left;
      entry.reason = entries_[*lost].kind + " is not done";
    } else if (std::ranges::all_of(entry.inputs, [&](size_t input) { return is(input, QueueState::done); })) {
      found.push_back(i);
    }
  }
  return found;
}

void PartQueue::finish(size_t entry, double seconds) {
  entries_[entry].state = QueueState::done;
  entries_[entry].seconds = seconds;
  if (seconds <= 0) return;  // it was done before
  for (const std::string& kind : {entries_[entry].kind, std::string()}) {
    took_[kind].seconds += seconds;
    ++took_[kind].entries;
  }
}

void PartQueue::end(size_t entry, QueueState state, const std::string& reason) {
  entries_[entry].state = state;
  entries_[entry].reason = reason;
}

size_t PartQueue::count(QueueState state) const {
  return static_cast<size_t>(std::ranges::count(entries_, state, &QueuedPart::state));
}

std::optional<double> PartQueue::seconds_left(size_t side_by_side) const {
  if (took_.empty()) return {};
  double seconds = 0;
  for (const QueuedPart& entry : entries_) {
    if (entry.state != QueueState::waiting && entry.state != QueueState::running) continue;
    const auto found = took_.find(entry.kind);
    const Took& took = found != took_.end() ? found->second : took_.at("");
    seconds += took.seconds / static_cast<double>(took.entries) * (entry.state == QueueState::running ? 0.5 : 1);
  }
  return seconds / static_cast<double>(std::max<size_t>(1, side_by_side));
}

}  // namespace ivory::experiment
