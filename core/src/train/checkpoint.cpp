#include "train/checkpoint.h"

#include <ivory/error.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <fstream>

#include "base/files.h"
#include "base/hash.h"
#include "base/json_text.h"
#include "base/write_failed.h"
#include "train/model_weights.h"

namespace ivory::train {
namespace fs = std::filesystem;
namespace {

using json = nlohmann::json;

constexpr const char* tensor_files[] = {weights_name, "state.safetensors"};
const std::string prefix = "step-";
const std::string replaced_prefix = ".tmp-old-";  // of a checkpoint while another of its step takes its place

std::string directory_name(int64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%06lld", static_cast<long long>(step));
  return name;
}

int64_t step_of(const fs::path& directory) {
  return std::stoll(directory.filename().string().substr(prefix.size()));
}

bool is_checkpoint(const fs::directory_entry& entry) {
  const std::string name = entry.path().filename().string();
  return !entry.is_symlink() && entry.is_directory() && name.size() > prefix.size() && name.size() < 25 &&
         name.rfind(prefix, 0) == 0 && name.find_first_not_of("0123456789", prefix.size()) == std::string::npos;
}

// Newest first.
std::vector<fs::path> checkpoints_in(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (is_checkpoint(entry)) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return step_of(a) > step_of(b); });
  return found;
}

// A checksum over everything else in state.json.
std::string own_checksum(json record) {
  record.erase("checksum");
  return base::hash128(base::dump(record));
}

json read_record(const fs::path& directory) {
  const fs::path file = directory / "state.json";
  if (!fs::exists(file)) throw run_failed("state.json is missing");
  const json record = base::read_json_file(file).value_or(json());
  if (!record.is_object() || record.value("checksum", json()) != own_checksum(record)) {
    throw run_failed("state.json is damaged");
  }
  return record;
}

void check_files(const fs::path& directory, const json& record) {
  for (const char* file : tensor_files) {
    if (record.at("files").at(file) != base::hash_file(directory / file)) throw run_failed(file, " is damaged");
  }
}

// Removes the directory unless it was kept.
struct Temporary {
  fs::path path;
  ~Temporary() {
    std::error_code ignored;
    if (!path.empty()) fs::remove_all(path, ignored);
  }
};

// A process was killed while it replaced the checkpoint: the former one stands where the other did not come to.
void bring_back(const fs::path& former, const fs::path& place) {
  if (fs::exists(place)) {
    fs::remove_all(former);
  } else {
    base::publish(former, place);
  }
}

}  // namespace

void discard_checkpoints(const fs::path& folder) {
  std::error_code ignored;
  fs::remove_all(folder / "checkpoints", ignored);
}

std::optional<SavedAt> saved_at(const fs::path& folder) {
  if (!fs::exists(folder)) return std::nullopt;
  for (const fs::path& directory : checkpoints_in(folder)) {
    try {
      const json record = read_record(directory);
      return SavedAt{.step = record.at("step"), .epoch = record.at("state").value("epoch", int64_t{0})};
    } catch (const Error&) {  // training passes over it, too
    }
  }
  return std::nullopt;
}

CheckpointStore::CheckpointStore(fs::path folder, std::string identity, int64_t keep_last)
    : folder_(std::move(folder)), identity_(std::move(identity)), keep_last_(std::max<int64_t>(keep_last, 1)) {
  base::require_writable(folder_);
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(replaced_prefix)) {
      bring_back(entry.path(), folder_ / name.substr(replaced_prefix.size()));
    } else if (name.starts_with(".tmp-")) {
      fs::remove_all(entry.path());
    }
  }
}

void CheckpointStore::save(const Checkpoint& checkpoint, bool best) {
  const std::string name = directory_name(checkpoint.step);
  Temporary temporary{folder_ / (".tmp-" + name)};
  fs::remove_all(temporary.path);
  std::error_code failed;
  if (!fs::create_directory(temporary.path, failed)) {
    throw base::write_failed_by(failed, "cannot create checkpoint ", temporary.path.string());
  }
  const TensorFile contents[] = {{checkpoint.weights, metadata_of(identity_)}, {checkpoint.extra, {}}};
  json record = {{"identity", identity_}, {"step", checkpoint.step}, {"state", checkpoint.state}};
  for (size_t i = 0; i < std::size(contents); ++i) {
    record["files"][tensor_files[i]] = save_safetensors(temporary.path / tensor_files[i], contents[i]);
  }
  record["checksum"] = own_checksum(record);
  base::write_durable(temporary.path / "state.json", base::dump(record, 1) + "\n");

  const fs::path target = folder_ / name;
  if (fs::exists(target)) {  // damaged, or of an epoch whose end was interrupted
    base::publish(target, folder_ / (replaced_prefix + name));
  }
  base::publish(temporary.path, target);
  temporary.path.clear();
  fs::remove_all(folder_ / (replaced_prefix + name));
  if (best) mark_best(checkpoint.step);
  prune(checkpoint.step);
}

void CheckpointStore::mark_best(int64_t step) const {
  const std::string name = directory_name(step);
  if (!fs::exists(folder_ / name)) return;
  const fs::path link = folder_ / ".tmp-best";
  fs::remove(link);
  std::error_code failed;
  fs::create_directory_symlink(name, link, failed);
  if (failed) throw base::write_failed_by(failed, "cannot create ", link.string());
  base::publish(link, folder_ / "best");
}

Checkpoint CheckpointStore::load(const fs::path& directory) const {
  const json record = read_record(directory);
  const std::string identity = record.value("identity", "");
  IVORY_CHECK(identity == identity_, "checkpoint ", directory.string(), " belongs to another configuration (", identity,
              "), this one is ", identity_, "; use another folder, or remove its checkpoints to begin again");
  check_files(directory, record);
  return {.step = record.at("step"),
          .state = record.at("state"),
          .weights = load_safetensors(directory / tensor_files[0]).tensors,
          .extra = load_safetensors(directory / tensor_files[1]).tensors,
          .path = directory};
}

std::optional<Checkpoint> CheckpointStore::newest() const {
  for (const fs::path& directory : checkpoints_in(folder_)) {
    try {
      return load(directory);
    } catch (const Error& error) {
      if (error.code() == ExitCode::bad_request) throw;
      spdlog::warn("checkpoint {} is passed over: {}", directory.string(), error.what());
    }
  }
  return std::nullopt;
}

Checkpoint CheckpointStore::best() const {
  const fs::path link = folder_ / "best";
  if (!fs::exists(link)) throw run_failed("there is no best checkpoint in ", folder_.string());
  try {
    return load(fs::canonical(link));
  } catch (const Error& error) {
    throw run_failed("the best checkpoint ", fs::read_symlink(link).string(), " in ", folder_.string(),
                     " cannot be used: ", error.what());
  }
}

base::HashedFile CheckpointStore::hand_over(int64_t step, const fs::path& file) const {
  const fs::path directory = folder_ / directory_name(step), own = directory / tensor_files[0];
  const json record = read_record(directory);
  const fs::path temporary = base::temporary_name(file);
  std::error_code no_links;
  fs::remove(temporary);
  fs::create_hard_link(own, temporary, no_links);
  if (no_links) return {file, save_safetensors(file, load_safetensors(own))};
  base::publish(temporary, file);
  fs::remove(temporary);  // still there where `file` was the same already: such a rename does nothing
  return {file, record.at("files").at(tensor_files[0])};
}

std::string CheckpointStore::last_good() const {
  for (const fs::path& directory : checkpoints_in(folder_)) {
    try {
      check_files(directory, read_record(directory));
      return directory.string();
    } catch (const Error&) {
      continue;  // damaged; newest() has said so, or will
    }
  }
  return "none yet";
}

void CheckpointStore::prune(int64_t newest_step) const {
  std::error_code ignored;
  const fs::path best = fs::read_symlink(folder_ / "best", ignored);
  int64_t kept = 0;
  for (const fs::path& directory : checkpoints_in(folder_)) {
    if (step_of(directory) > newest_step) {
      fs::remove_all(directory);
    } else if (++kept > keep_last_ && directory.filename() != best) {
      fs::remove_all(directory);
    }
  }
}

}  // namespace ivory::train
