#include "run/queued.h"

#include <spdlog/spdlog.h>

#include <fstream>
#include <sstream>

#include "base/files.h"
#include "plan/store.h"
#include "run/shell.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

constexpr const char* folder_name = ".queued";

// "12_3", … of everybody's arrays, "14" of other jobs.
std::set<std::string> listed_elements() {
  std::istringstream lines(output_of("squeue --all --array --noheader --format=%i"));
  std::set<std::string> elements;
  for (std::string line; std::getline(lines, line);) elements.insert(line);
  return elements;
}

// One of every job.
std::vector<fs::path> notes_in(const fs::path& store) {
  std::vector<fs::path> notes;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(store / folder_name, none)) notes.push_back(entry.path());
  return notes;
}

}  // namespace

void note_queued(const fs::path& store, const std::string& job, const std::vector<std::string>& parts) {
  std::string lines;
  for (const auto& part : parts) lines += part + "\n";
  base::require_writable(store / folder_name);
  base::write_durable(store / folder_name / job, lines);
}

std::set<std::string> noted_parts(const fs::path& store) {
  std::set<std::string> parts;
  for (const auto& file : notes_in(store)) {
    std::ifstream in(file);
    for (std::string part; std::getline(in, part);) parts.insert(part);
  }
  return parts;
}

std::map<std::string, std::set<std::string>> queued_parts(const fs::path& store) {
  const auto noted = notes_in(store);
  if (noted.empty()) return {};
  const auto listed = listed_elements();
  std::map<std::string, std::set<std::string>> queued;
  for (const auto& file : noted) {
    const std::string job = file.filename().string();
    std::ifstream in(file);
    bool over = true;
    size_t element = 0;
    for (std::string part; std::getline(in, part); ++element) {
      if (!listed.contains(job + "_" + std::to_string(element))) continue;
      over = false;
      if (!part.empty()) queued[part].insert(job);
    }
    std::error_code gone;
    if (over) fs::remove(file, gone);
  }
  return queued;
}

std::set<std::string> may_be_queued(const fs::path& store) {
  try {
    std::set<std::string> parts;
    for (const auto& [part, jobs] : queued_parts(store)) parts.insert(part);
    return parts;
  } catch (const Error& error) {
    spdlog::warn("what was submitted to Slurm is left alone: {}", error.what());
    return noted_parts(store);
  }
}

}  // namespace ivory::experiment
