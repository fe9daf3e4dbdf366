#pragma once
// A store from outside: what it holds, whether it is whole, what nobody needs any more. `ivory store`.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace ivory::experiment {

struct StoredNode {
  std::filesystem::path folder;
  std::string kind;   // "stage", "task", of smoke runs "smoke stage"
  std::string label;  // "stage slices"; of what has no record yet the name in the folder's
  // "done", "running", "interrupted", "failed", "stopped early", "damaged" (its record is no record of it)
  std::string state;
  std::string identity;  // of what has no record yet its beginning
  std::string finished;  // UTC, or empty
  std::string reason;    // of what failed, was stopped early or has saved on its way
  uintmax_t bytes = 0;
  nlohmann::json record;  // null where it is not done
};

// Of <output>/store, by name. Throws bad_request where there is none.
std::vector<StoredNode> stored_nodes(const std::filesystem::path& output);
// The one whose folder's name, or whose identity, begins so. Throws bad_request when it is not one.
StoredNode stored_node(const std::filesystem::path& output, const std::string& beginning);

// A sentence for everything that is not as its record says, or was left behind in a node that is done.
std::vector<std::string> faults_of(const StoredNode& node);

struct Garbage {
  std::filesystem::path path;  // a node's folder, or something in one
  std::string why;
  uintmax_t bytes = 0;
};
// Nodes that no run folder's plan holds, and what killed processes left behind in the others; with `unfinished` also
// nodes that were interrupted, stopped early or failed, whose progress is lost by that. Nothing of a node that a
// process has or that is `queued`: a folder's name that waits in a job of Slurm (run/queued.h, may_be_queued). Throws
// run_failed when a plan cannot be read.
std::vector<Garbage> garbage_of(const std::filesystem::path& output, bool unfinished,
                                const std::set<std::string>& queued);
// False where a process has taken the node meanwhile.
bool remove_garbage(const Garbage& garbage);

}  // namespace ivory::experiment
