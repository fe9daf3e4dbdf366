#include "plan/store.h"

#include "base/files.h"
#include "plan/places.h"
#include "plan/provenance.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

// What was read, if it is of this part.
template <class T>
std::optional<T> own(std::optional<T> read, const Part& part) {
  return read && read->identity == part.identity ? std::move(read) : std::nullopt;
}

}  // namespace

Store::Store(const fs::path& output) : root_(store_folder(output)) {}

fs::path Store::folder(const Part& part) const {
  return root_ / part.folder_name();
}

std::optional<Record> Store::record(const Part& part) const {
  if (part.identity.empty()) return {};
  return own(read_record(folder(part)), part);
}

void Store::write_record(const Part& part, const Record& record) const {
  base::write_durable(folder(part) / record_file, to_json(record));
}

void Store::visit_records(const Part& part, const std::function<bool(const Record&)>& visit) const {
  const std::string name = part.folder_name();
  const std::string prefix = name.substr(0, name.rfind('-') + 1);
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(root_, missing)) {
    const std::string found = entry.path().filename().string();
    if (!found.starts_with(prefix) || found.find('-', prefix.size()) != std::string::npos) continue;
    const auto record = read_record(entry.path());
    if (record && !visit(*record)) return;
  }
}

std::optional<Failure> Store::failure(const Part& part) const {
  if (part.identity.empty()) return {};
  return own(read_failure(folder(part)), part);
}

void Store::write_failure(const Part& part, const std::string& reason, ExitCode code) const {
  experiment::write_failure(
      folder(part),
      {.identity = part.identity, .label = part.label(), .reason = reason, .code = code, .smoke = part.smoke});
}

void write_failure(const fs::path& folder, Failure failure) {
  failure.finished = utc_now();
  base::write_durable(folder / failure_file, to_json(failure));
}

std::optional<EarlyStop> Store::early_stop(const Part& part) const {
  if (part.identity.empty()) return {};
  return own(read_stopped(folder(part)), part);
}

void Store::write_early_stop(const Part& part, const std::string& reason) const {
  const EarlyStop stop{
      .identity = part.identity, .label = part.label(), .reason = reason, .finished = utc_now(), .smoke = part.smoke};
  base::write_durable(folder(part) / stopped_file, to_json(stop));
}

void Store::forget_failure(const Part& part) const {
  std::error_code ignored;
  fs::remove(folder(part) / stopped_file, ignored);
  fs::remove(folder(part) / failure_file, ignored);
}

}  // namespace ivory::experiment
