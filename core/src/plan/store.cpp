#include "plan/store.h"

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/json_text.h"
#include "plan/places.h"
#include "plan/provenance.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
Store::Store(const fs::path& output) : root_(store_folder(output)) {}

fs::path Store::folder(const Node& node) const {
  return root_ / node.folder_name();
}

std::optional<nlohmann::json> Store::record(const Node& node) const {
  return own(node, record_file);
}

std::optional<nlohmann::json> Store::failure(const Node& node) const {
  return own(node, failure_file);
}

std::optional<nlohmann::json> Store::stopped(const Node& node) const {
  return own(node, stopped_file);
}

std::optional<nlohmann::json> Store::own(const Node& node, const char* file) const {
  if (node.identity.empty()) return {};
  return own_record(folder(node), node.identity, file);
}

std::optional<nlohmann::json> own_record(const fs::path& folder, const std::string& identity, const char* file) {
  auto record = base::read_json_file(folder / file);
  if (!record || !record->is_object() || record->value("identity", "") != identity) return {};
  return record;
}

void Store::visit_records(const Node& node, const std::function<bool(const nlohmann::json&)>& visit) const {
  const std::string name = node.folder_name();
  const std::string prefix = name.substr(0, name.rfind('-') + 1);
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(root_, missing)) {
    const std::string found = entry.path().filename().string();
    if (!found.starts_with(prefix) || found.find('-', prefix.size()) != std::string::npos) continue;
    const auto record = base::read_json_file(entry.path() / record_file);
    if (record && !visit(*record)) return;
  }
}

void Store::write_record(const Node& node, const nlohmann::json& record) const {
  base::write_durable(folder(node) / record_file, base::dump(record, 2) + "\n");
}

void Store::write_failure(const Node& node, const std::string& reason, ExitCode code) const {
  experiment::write_failure(folder(node), {node.identity, node.label(), reason, code, node.smoke});
}

void write_failure(const fs::path& folder, const Failure& failure) {
  nlohmann::json record = {{"identity", failure.identity},
                           {"label", failure.label},
                           {"reason", failure.reason},
                           {"exit code", static_cast<int>(failure.code)},
                           {"finished", utc_now()}};
  if (failure.smoke) record["smoke"] = true;
  base::write_durable(folder / failure_file, base::dump(record, 2) + "\n");
}

void Store::write_stopped(const Node& node, const std::string& reason) const {
  nlohmann::json record = {
      {"identity", node.identity}, {"label", node.label()}, {"reason", reason}, {"finished", utc_now()}};
  if (node.smoke) record["smoke"] = true;
  base::write_durable(folder(node) / stopped_file, base::dump(record, 2) + "\n");
}

void Store::forget_failure(const Node& node) const {
  std::error_code ignored;
  fs::remove(folder(node) / stopped_file, ignored);
  fs::remove(folder(node) / failure_file, ignored);
}

}  // namespace ivory::experiment
