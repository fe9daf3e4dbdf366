#pragma once
// Where results live: <output>/store/<part>, shared by all experiments of an output folder. A part is done when its
// terminal record, written last, is there; everything else in its folder is work in progress. A part that failed has a
// record of that, until it is run again, and so has one that a sweep stopped. No time of a clock decides anything.

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "plan/plan.h"
#include "plan/record.h"

namespace ivory::experiment {

class Store {
 public:
  // Touches nothing yet: reading a store that is not there finds no records.
  explicit Store(const std::filesystem::path& output);
  std::filesystem::path folder(const Part& part) const;
  const std::filesystem::path& root() const { return root_; }

  bool done(const Part& part) const { return record(part).has_value(); }
  // The terminal record, if the part is done.
  std::optional<Record> record(const Part& part) const;
  // Atomically: temporary name, fsync, rename.
  void write_record(const Part& part, const Record& record) const;
  // Records of finished parts of this kind and name, whatever their configuration, until `visit` returns false.
  void visit_records(const Part& part, const std::function<bool(const Record&)>& visit) const;

  // Of a part that failed when it was run last.
  std::optional<Failure> failure(const Part& part) const;
  void write_failure(const Part& part, const std::string& reason, ExitCode code) const;
  // Of a part that a sweep stopped before its end.
  std::optional<EarlyStop> early_stop(const Part& part) const;
  void write_early_stop(const Part& part, const std::string& reason) const;
  // Removes both: the part is run again.
  void forget_failure(const Part& part) const;

 private:
  std::filesystem::path root_;
};

// Completes `failure` by the time and writes it into the part's folder.
void write_failure(const std::filesystem::path& folder, Failure failure);

}  // namespace ivory::experiment
