#include "plan/store_view.h"

#include <ivory/error.h>

#include <algorithm>

#include "base/files.h"
#include "base/hash.h"
#include "base/lock.h"
#include "plan/places.h"
#include "plan/store.h"
#include "train/checkpoint.h"
#include "weights/safetensors.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

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
void take_apart(StoredPart& part) {
  std::string name = part.folder.filename().string();
  const size_t last = name.rfind('-');
  part.identity = name.substr(last == std::string::npos ? name.size() : last + 1);
  name = name.substr(0, last);
  for (const std::string kind : {"smoke-stage", "smoke-task", "stage", "task"}) {
    if (!name.starts_with(kind + "-")) continue;
    part.kind = kind;
    std::replace(part.kind.begin(), part.kind.end(), '-', ' ');
    part.label = part.kind.substr(part.kind.rfind(' ') + 1) + " " + name.substr(kind.size() + 1);
    return;
  }
}

template <class Known>
void take(StoredPart& part, const Known& known) {
  if (!known.label.empty()) part.label = known.label;
  part.identity = known.identity;
  part.finished = known.finished;
}

StoredPart look_at(const fs::path& folder) {
  StoredPart part{.folder = folder, .bytes = size_of(folder)};
  take_apart(part);
  const auto own = [&part](auto known) {
    const bool is_its_own = known && !part.identity.empty() && known->identity.starts_with(part.identity);
    return is_its_own ? std::move(known) : std::nullopt;
  };
  part.record = own(read_record(folder));
  part.damaged = !part.record && fs::exists(folder / record_file);
  const auto failure = own(read_failure(folder));
  const auto stop = own(read_stopped(folder));
  PartView view{.done = part.record.has_value(), .begun = true};
  if (failure) view.failure = failure->reason;
  if (stop) view.early_stop = stop->reason;
  if (base::in_use(folder)) view.owner = base::FolderLock::owner(folder);
  part.state = state_of(view);
  if (part.record) {
    take(part, *part.record);
  } else if (part.damaged) {
    return part;
  } else if (part.state == PartState::failed) {
    take(part, *failure);
    part.reason = failure->reason;
  } else if (part.state == PartState::stopped_early) {
    take(part, *stop);
    part.reason = stop->reason;
  } else if (const auto saved = train::saved_at(folder / "checkpoints"); saved && part.state != PartState::running) {
    part.reason = "saved at step " + std::to_string(saved->step);
  }
  return part;
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

void check_weights(const StoredPart& part, std::vector<std::string>& faults) {
  const fs::path file = part.folder / train::weights_name;
  const auto& known = part.record->weights;
  if (!fs::exists(file)) {
    if (known || part.kind.ends_with("stage")) faults.push_back(file.string() + ": it is missing");
    return;
  }
  if (known) {
    const bool same = fs::file_size(file) == known->bytes && base::hash_file(file) == known->xxh3;
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
    const auto plan = read_plan(run);
    if (!plan) throw run_failed((run / plan_file).string(), " is no plan: nothing is removed");
    for (const auto& part : *plan) planned.insert(part.folder);
  }
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(run / "nodes", none)) {
    if (entry.is_symlink()) planned.insert(fs::read_symlink(entry.path()).filename().string());
  }
}

// <output>/<name> and, of sweeps, <output>/<name>/<point>.
std::set<std::string> planned_parts(const fs::path& output) {
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

std::vector<StoredPart> stored_parts(const fs::path& output) {
  const fs::path root = store_folder(output);
  IVORY_CHECK(fs::is_directory(root), root.string(), " is not there: --output names the folder of the runs");
  std::vector<StoredPart> parts;
  for (const auto& entry : fs::directory_iterator(root)) {
    if (entry.is_directory() && !entry.path().filename().string().starts_with(".")) {
      parts.push_back(look_at(entry.path()));
    }
  }
  std::ranges::sort(parts, {}, &StoredPart::folder);
  return parts;
}

StoredPart stored_part(const fs::path& output, const std::string& beginning) {
  std::vector<StoredPart> found;
  for (auto& part : stored_parts(output)) {
    const std::string name = part.folder.filename().string();
    if (name == beginning) return part;
    if (name.starts_with(beginning) || part.identity.starts_with(beginning)) found.push_back(std::move(part));
  }
  IVORY_CHECK(found.size() == 1, "'", beginning, "' names ", found.size(), " parts of ", store_folder(output).string(),
              ", expected one: `ivory store list` shows them");
  return found.front();
}

std::vector<std::string> faults_of(const StoredPart& part) {
  std::vector<std::string> faults;
  if (part.kind.empty()) faults.push_back(part.folder.string() + ": not a part's name");
  if (part.damaged) {
    faults.push_back((part.folder / record_file).string() + ": no JSON, or the record of another part");
  }
  if (!part.record) return faults;
  check_weights(part, faults);
  for (const auto& path : leftovers(part.folder, /*done=*/false)) {
    faults.push_back(path.string() + ": left behind by a process that was killed");
  }
  return faults;
}

std::vector<Garbage> garbage_of(const fs::path& output, bool unfinished, const std::set<std::string>& queued) {
  std::vector<Garbage> garbage;
  const auto planned = planned_parts(output);
  for (const auto& part : stored_parts(output)) {
    if (part.state == PartState::running || base::in_use(part.folder)) continue;
    if (queued.contains(part.folder.filename().string())) continue;
    const bool done = part.record || part.damaged;
    if (!planned.contains(part.folder.filename().string())) {
      garbage.push_back({part.folder, "in no plan of a run folder", part.bytes});
    } else if (unfinished && !done) {
      garbage.push_back({part.folder, to_text(part.state), part.bytes});
    } else {
      for (const auto& path : leftovers(part.folder, part.record.has_value())) {
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
  fs::path part = garbage.path;
  while (part.parent_path().filename() != "store" && part.has_relative_path()) part = part.parent_path();
  const auto lock = base::FolderLock::try_lock(part);
  if (!lock) return false;
  if (!whole) return fs::remove_all(garbage.path), true;
  // Under another name first, so that what is half removed is no part.
  const std::string name = part.filename().string();
  const fs::path going = part.parent_path() / (name.starts_with(".deleted-") ? name : ".deleted-" + name);
  if (going != part) fs::rename(part, going);
  fs::remove_all(going);
  return true;
}

}  // namespace ivory::experiment
