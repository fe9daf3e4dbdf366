#pragma once
// Which parts of a store wait or run in array jobs of Slurm, whoever submitted them for whatever experiment.

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace ivory::experiment {

// <store>/.queued/JOB, until the job is over: the part of each of its elements, one a line; "" where it is another
// store's.
void note_queued(const std::filesystem::path& store, const std::string& job, const std::vector<std::string>& parts);

// Part → the jobs of which squeue still lists its element. Asks squeue only where a job was noted, and forgets those
// that it lists no more. Throws run_failed with squeue's own words.
std::map<std::string, std::set<std::string>> queued_parts(const std::filesystem::path& store);

// All that was noted. What no submission has cleared away may be over since.
std::set<std::string> noted_parts(const std::filesystem::path& store);

// The parts of queued_parts, or of noted_parts, with a warning, if Slurm cannot be asked.
std::set<std::string> may_be_queued(const std::filesystem::path& store);

}  // namespace ivory::experiment
