#pragma once
// Where results live: <output>/store/<node>, shared by all experiments of an output folder. A node is done when its
// terminal record, written last, is there; everything else in its folder is work in progress. A node that failed has a
// record of that, until it is run again, and so has one that halving stopped. No time of a clock decides anything.

#include <ivory/error.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace ivory::experiment {

constexpr const char* record_file = "done.json";
constexpr const char* failure_file = "failed.json";
constexpr const char* stopped_file = "stopped.json";

class Store {
 public:
  // Touches nothing yet: reading a store that is not there finds no records.
  explicit Store(const std::filesystem::path& output);
  std::filesystem::path folder(const Node& node) const;
  // The terminal record, if the node is done.
  std::optional<nlohmann::json> record(const Node& node) const;
  // Records of finished nodes of this kind and name, whatever their configuration, until `visit` returns false.
  void visit_records(const Node& node, const std::function<bool(const nlohmann::json&)>& visit) const;
  // Atomically: temporary name, fsync, rename.
  void write_record(const Node& node, const nlohmann::json& record) const;
  // {"identity", "label", "reason", "exit code", "finished"} of a node that failed when it was last run.
  std::optional<nlohmann::json> failure(const Node& node) const;
  void write_failure(const Node& node, const std::string& reason, ExitCode code) const;
  // The same without the exit code, of a node that halving stopped before its end.
  std::optional<nlohmann::json> stopped(const Node& node) const;
  void write_stopped(const Node& node, const std::string& reason) const;
  // Removes both: the node is run again.
  void forget_failure(const Node& node) const;
  const std::filesystem::path& root() const { return root_; }

 private:
  std::optional<nlohmann::json> own(const Node& node, const char* file) const;

  std::filesystem::path root_;
};

// The same for who has no plan, of the part in this folder.
std::optional<nlohmann::json> own_record(const std::filesystem::path& folder, const std::string& identity,
                                         const char* file);
struct Failure {
  std::string identity, label, reason;
  ExitCode code = ExitCode::run_failed;
  bool smoke = false;
};
void write_failure(const std::filesystem::path& folder, const Failure& failure);

}  // namespace ivory::experiment
