#pragma once
// The parts of several plans in the order in which they can run: each once, however many plans hold it; inputs first.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ivory::experiment {

// paused: saved, until others have come as far. left: cannot run, or is not to. stopped: early, by a sweep.
enum class QueueState { waiting, running, paused, done, failed, left, stopped };

struct QueuedPart {
  size_t point = 0, part = 0;  // the first plan that holds it, and its number there
  std::string kind;            // entries of one kind take about the same time: "task organs"
  std::vector<size_t> inputs = {};
  QueueState state = QueueState::waiting;
  std::string reason = {};  // of failed and left
  double seconds = 0;       // that it took, once it is done
};

class PartQueue {
 public:
  // The number of the entry that is known by this key; it is added when there is none yet. Its inputs are there
  // already.
  size_t add(const std::string& key, QueuedPart entry);

  // Those whose inputs are done, in the order in which they were added. What waits for an entry that failed or is left
  // becomes left itself.
  std::vector<size_t> ready();
  void start(size_t entry) { entries_[entry].state = QueueState::running; }
  void pause(size_t entry) { entries_[entry].state = QueueState::paused; }
  void resume(size_t entry) { entries_[entry].state = QueueState::waiting; }
  void finish(size_t entry, double seconds);
  void end(size_t entry, QueueState failed_left_or_stopped, const std::string& reason);

  const QueuedPart& operator[](size_t entry) const { return entries_[entry]; }
  size_t size() const { return entries_.size(); }
  size_t count(QueueState state) const;
  // Of what is waiting or running, with so many side by side, from what the entries that are done took; empty while
  // none of them ran here.
  std::optional<double> seconds_left(size_t side_by_side) const;

 private:
  std::map<std::string, size_t> numbers_;
  std::vector<QueuedPart> entries_;
  struct Took {
    double seconds = 0;
    int64_t entries = 0;
  };
  std::map<std::string, Took> took_;  // by kind; "": all
};

}  // namespace ivory::experiment
