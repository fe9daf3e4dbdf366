#include "run/job_queue.h"

#include <algorithm>

namespace ivory::experiment {

size_t JobQueue::add(const std::string& key, Job job) {
  const auto [found, added] = numbers_.try_emplace(key, jobs_.size());
  if (added) jobs_.push_back(std::move(job));
  return found->second;
}

std::vector<size_t> JobQueue::ready() {
  std::vector<size_t> found;
  for (size_t i = 0; i < jobs_.size(); ++i) {
    Job& job = jobs_[i];
    if (job.state != JobState::waiting) continue;
    const auto is = [&](size_t input, JobState state) { return jobs_[input].state == state; };
    const auto lost = std::ranges::find_if(
        job.inputs, [&](size_t input) { return is(input, JobState::failed) || is(input, JobState::left); });
    if (lost != job.inputs.end()) {
      job.state = JobState::left;
      job.reason = jobs_[*lost].kind + " is not done";
    } else if (std::ranges::all_of(job.inputs, [&](size_t input) { return is(input, JobState::done); })) {
      found.push_back(i);
    }
  }
  return found;
}

void JobQueue::finish(size_t job, double seconds) {
  jobs_[job].state = JobState::done;
  jobs_[job].seconds = seconds;
  if (seconds <= 0) return;  // it was done before
  for (const std::string& kind : {jobs_[job].kind, std::string()}) {
    took_[kind].seconds += seconds;
    ++took_[kind].jobs;
  }
}

void JobQueue::end(size_t job, JobState state, const std::string& reason) {
  jobs_[job].state = state;
  jobs_[job].reason = reason;
}

size_t JobQueue::count(JobState state) const {
  return static_cast<size_t>(std::ranges::count(jobs_, state, &Job::state));
}

std::optional<double> JobQueue::seconds_left(size_t side_by_side) const {
  if (took_.empty()) return {};
  double seconds = 0;
  for (const Job& job : jobs_) {
    if (job.state != JobState::waiting && job.state != JobState::running) continue;
    const auto found = took_.find(job.kind);
    const Took& took = found != took_.end() ? found->second : took_.at("");
    seconds += took.seconds / static_cast<double>(took.jobs) * (job.state == JobState::running ? 0.5 : 1);
  }
  return seconds / static_cast<double>(std::max<size_t>(1, side_by_side));
}

}  // namespace ivory::experiment
