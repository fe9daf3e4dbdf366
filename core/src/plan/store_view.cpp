#include "plan/store_view.h"

#include <ivory/error.h>

#include <algorithm>

#include "base/files.h"
#include "base/hash.h"
#include "base/json_text.h"
#include "base/lock.h"
#include "plan/places.h"
#include "plan/store.h"
#include "train/checkpoint.h"
#include "weights/safetensors.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

uintmax_t size_of(const fs::path& path) {
  std::error_code gone;
  if (!fs::is_directory(path, gone)) return fs::file_size(path, gone);
  uintmax_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(path, gone)) {
    if (entry.is_regular_file(gone)) bytes += entry.file_size(gone);
  }
  return bytes;
}

// "smoke-task-organ-0123456789ab" → "smoke task", "organ", "0123456789ab".
void take_apart(StoredNode& node) {
  std::string name = node.folder.filename().string();
  const size_t last = name.rfind('-');
  node.identity = name.substr(last == std::string::npos ? name.size() : last + 1);
  name = name.substr(0, last);
  for (const std::string kind : {"smoke-stage", "smoke-task", "stage", "task"}) {
    if (!name.starts_with(kind + "-")) continue;
    node.kind = kind;
    std::replace(node.kind.begin(), node.kind.end(), '-', ' ');
    node.label = node.kind.substr(node.kind.rfind(' ') + 1) + " " + name.substr(kind.size() + 1);
    return;
  }
}

bool is_of(const json& record, const StoredNode& node) {
  return record.is_object() && !node.identity.empty() && record.value("identity", "").starts_with(node.identity);
}

StoredNode look_at(const fs::path& folder) {
  StoredNode node{.folder = folder, .bytes = size_of(folder)};
  take_apart(node);
  const auto own = [&](const char* file) {
    json record = base::read_json_file(folder / file).value_or(json());
    return is_of(record, node) ? record : json();
  };
  json known = own(record_file);
  if (fs::exists(folder / record_file)) {
    node.state = known.is_null() ? "damaged" : "done";
  } else if (base::in_use(folder)) {
    node.state = "running";
  } else if (known = own(failure_file); !known.is_null()) {
    node.state = "failed";
  } else {
    known = own(stopped_file);
    node.state = known.is_null() ? "interrupted" : "stopped early";
  }
  if (node.state == "interrupted") {
    if (const auto saved = train::saved_at(folder / "checkpoints")) {
      node.reason = "saved at step " + std::to_string(saved->step);
    }
  }
  if (!known.is_object()) return node;
  if (node.state == "done") node.record = known;
  node.label = known.value("label", node.label);
  node.identity = known.value("identity", node.identity);
  node.finished = known.value("finished", "");
  node.reason = known.value("reason", "");
  return node;
}

std::vector<fs::path> leftovers(const fs::path& folder, bool done) {
  std::vector<fs::path> found;
  if (done && fs::exists(folder / "checkpoints")) found.push_back(folder / "checkpoints");
  std::error_code gone;
  for (auto entry = fs::recursive_directory_iterator(folder, gone); entry != fs::recursive_directory_iterator();
       ++entry) {
    if (!base::is_temporary(entry->path())) continue;
    found.push_back(entry->path());
    entry.disable_recursion_pending();
  }
  return found;
}

void check_weights(const StoredNode& node, std::vector<std::string>& faults) {
  const fs::path file = node.folder / train::weights_name;
  const json known = node.record.value("weights", json());
  if (!fs::exists(file)) {
    if (known.is_object() || node.kind.ends_with("stage")) faults.push_back(file.string() + ": it is missing");
    return;
  }
  if (known.is_object()) {
    const bool same =
        fs::file_size(file) == known.value("bytes", uintmax_t{0}) && base::hash_file(file) == known.value("xxh3", "");
    if (!same) faults.push_back(file.string() + ": it is not what was recorded (size or XXH3 differs)");
    return;
  }
  try {
    train::load_safetensors(file);
  } catch (const Error& error) {
    faults.push_back(error.what());
  }
}

// Names of the store's folders that the run folder's plan holds.
void add_planned(const fs::path& run, std::set<std::string>& planned) {
  if (fs::exists(run / plan_file)) {
    const auto plan = base::read_json_file(run / plan_file);
    if (!plan || !plan->is_array()) throw run_failed((run / plan_file).string(), " is no plan: nothing is removed");
    for (const auto& node : *plan) planned.insert(node.value("folder", ""));
  }
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(run / "nodes", none)) {
    if (entry.is_symlink()) planned.insert(fs::read_symlink(entry.path()).filename().string());
  }
}

// <output>/<name> and, of sweeps, <output>/<name>/<point>.
std::set<std::string> planned_nodes(const fs::path& output) {
  std::set<std::string> planned;
  for (auto entry = fs::recursive_directory_iterator(output); entry != fs::recursive_directory_iterator(); ++entry) {
    if (!entry->is_directory() || entry->is_symlink()) continue;
    const std::string name = entry->path().filename().string();
    if (entry.depth() >= 1 || name == "store") entry.disable_recursion_pending();
    if (name != "store" && name != "nodes") add_planned(entry->path(), planned);
  }
  return planned;
}

}  // namespace

std::vector<StoredNode> stored_nodes(const fs::path& output) {
  const fs::path root = store_folder(output);
  IVORY_CHECK(fs::is_directory(root), root.string(), " is not there: --output names the folder of the runs");
  std::vector<StoredNode> nodes;
  for (const auto& entry : fs::directory_iterator(root)) {
    if (entry.is_directory() && !entry.path().filename().string().starts_with(".")) {
      nodes.push_back(look_at(entry.path()));
    }
  }
  std::ranges::sort(nodes, {}, &StoredNode::folder);
  return nodes;
}

StoredNode stored_node(const fs::path& output, const std::string& beginning) {
  std::vector<StoredNode> found;
  for (auto& node : stored_nodes(output)) {
    const std::string name = node.folder.filename().string();
    if (name == beginning) return node;
    if (name.starts_with(beginning) || node.identity.starts_with(beginning)) found.push_back(std::move(node));
  }
  IVORY_CHECK(found.size() == 1, "'", beginning, "' names ", found.size(), " nodes of ", store_folder(output).string(),
              ", expected one: `ivory store list` shows them");
  return found.front();
}

std::vector<std::string> faults_of(const StoredNode& node) {
  std::vector<std::string> faults;
  if (node.kind.empty()) faults.push_back(node.folder.string() + ": not a node's name");
  if (node.state == "damaged") {
    faults.push_back((node.folder / record_file).string() + ": no JSON, or the record of another node");
  }
  if (node.state != "done") return faults;
  check_weights(node, faults);
  for (const auto& path : leftovers(node.folder, /*done=*/false)) {
    faults.push_back(path.string() + ": left behind by a process that was killed");
  }
  return faults;
}

std::vector<Garbage> garbage_of(const fs::path& output, bool unfinished, const std::set<std::string>& queued) {
  std::vector<Garbage> garbage;
  const auto planned = planned_nodes(output);
  for (const auto& node : stored_nodes(output)) {
    if (node.state == "running" || base::in_use(node.folder)) continue;
    if (queued.contains(node.folder.filename().string())) continue;
    const bool begun = node.state == "interrupted" || node.state == "failed" || node.state == "stopped early";
    if (!planned.contains(node.folder.filename().string())) {
      garbage.push_back({node.folder, "in no plan of a run folder", node.bytes});
    } else if (unfinished && begun) {
      garbage.push_back({node.folder, node.state, node.bytes});
    } else {
      for (const auto& path : leftovers(node.folder, node.state == "done")) {
        garbage.push_back({path, "left behind by a process that was killed", size_of(path)});
      }
    }
  }
  for (const auto& entry : fs::directory_iterator(store_folder(output))) {
    if (!entry.path().filename().string().starts_with(".deleted-")) continue;
    garbage.push_back({entry.path(), "a removal that was cut short", size_of(entry.path())});
  }
  return garbage;
}

bool remove_garbage(const Garbage& garbage) {
  const bool whole = garbage.path.parent_path().filename() == "store";
  fs::path node = garbage.path;
  while (node.parent_path().filename() != "store" && node.has_relative_path()) node = node.parent_path();
  const auto lock = base::FolderLock::try_lock(node);
  if (!lock) return false;
  if (!whole) return fs::remove_all(garbage.path), true;
  // Under another name first, so that what is half removed is no node.
  const std::string name = node.filename().string();
  const fs::path going = node.parent_path() / (name.starts_with(".deleted-") ? name : ".deleted-" + name);
  if (going != node) fs::rename(node, going);
  fs::remove_all(going);
  return true;
}

}  // namespace ivory::experiment
