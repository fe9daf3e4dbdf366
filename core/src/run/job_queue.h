#pragma once
// The nodes of several plans in the order in which they can run: each once, however many plans hold it; inputs first.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ivory::experiment {

// paused: saved, until others have come as far. left: cannot run, or is not to. stopped: early, by halving.
enum class JobState { waiting, running, paused, done, failed, left, stopped };

struct Job {
  size_t point = 0, node = 0;  // the first plan that holds it, and its number there
  std::string kind;            // jobs of one kind take about the same time: "task organs"
  std::vector<size_t> inputs = {};
  JobState state = JobState::waiting;
  std::string reason = {};  // of failed and left
  double seconds = 0;       // that it took, once it is done
};

class JobQueue {
 public:
  // The number of the job that is known by this key; it is added when there is none yet. Its inputs are there already.
  size_t add(const std::string& key, Job job);

  // Those whose inputs are done, in the order in which they were added. What waits for a job that failed or is left
  // becomes left itself.
  std::vector<size_t> ready();
  void start(size_t job) { jobs_[job].state = JobState::running; }
  void pause(size_t job) { jobs_[job].state = JobState::paused; }
  void resume(size_t job) { jobs_[job].state = JobState::waiting; }
  void finish(size_t job, double seconds);
  void end(size_t job, JobState failed_left_or_stopped, const std::string& reason);

  const Job& operator[](size_t job) const { return jobs_[job]; }
  size_t size() const { return jobs_.size(); }
  size_t count(JobState state) const;
  // Of what is waiting or running, with so many side by side, from what the jobs that are done took; empty while none
  // of them ran here.
  std::optional<double> seconds_left(size_t side_by_side) const;

 private:
  std::map<std::string, size_t> numbers_;
  std::vector<Job> jobs_;
  struct Took {
    double seconds = 0;
    int64_t jobs = 0;
  };
  std::map<std::string, Took> took_;  // by kind; "": all
};

}  // namespace ivory::experiment
