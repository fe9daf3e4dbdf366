#pragma once
// A store from outside: what it holds, whether it is whole, what nobody needs any more. `ivory store`.

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "plan/part_state.h"

namespace ivory::experiment {

struct StoredPart {
  std::filesystem::path folder;
  std::string kind;                          // "stage", "task", of smoke runs "smoke stage"
  std::string label;                         // "stage slices"; of what has no record yet the name in the folder's
  PartState state = PartState::interrupted;  // done, running, failed, stopped_early or interrupted
  bool damaged = false;                      // its done.json is no record of it
  std::string identity;                      // of what has no record yet its beginning
  std::string finished;                      // UTC, or empty
  std::string reason;                        // of what failed, was stopped early or has saved on its way
  uintmax_t bytes = 0;
  std::optional<Record> record = {};  // of a part that is done
};

// Of <output>/store, by name. Throws bad_request where there is none.
std::vector<StoredPart> stored_parts(const std::filesystem::path& output);
// The one whose folder's name, or whose identity, begins so. Throws bad_request when it is not one.
StoredPart stored_part(const std::filesystem::path& output, const std::string& beginning);

// A sentence for everything that is not as its record says, or was left behind in a part that is done.
std::vector<std::string> faults_of(const StoredPart& part);

struct Garbage {
  std::filesystem::path path;  // a part's folder, or something in one
  std::string why;
  uintmax_t bytes = 0;
};
// Parts that no run folder's plan holds, and what killed processes left behind in the others; with `unfinished` also
// parts that were interrupted, stopped early or failed, whose progress is lost by that. Nothing of a part that a
// process has or that is `queued`: a folder's name that waits in a job of Slurm (run/queued.h, may_be_queued). Throws
// run_failed when a plan cannot be read.
std::vector<Garbage> garbage_of(const std::filesystem::path& output, bool unfinished,
                                const std::set<std::string>& queued);
// False where a process has taken the part meanwhile.
bool remove_garbage(const Garbage& garbage);

}  // namespace ivory::experiment
