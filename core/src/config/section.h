#pragma once
// A table of the experiment being read: typed values with ranges, every mistake noted at its key, and at the end every
// key that nobody asked for.

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "config/diagnostics.h"
#include "config/range.h"

namespace ivory::config {

class Section {
 public:
  // `table` must be a table that outlives the section. `path`: "" for the document, else "stage.joint".
  Section(const Node& table, Place place, std::string path, Diagnostics& diagnostics);

  // Each leaves the target as it is when the key is missing or wrong, and returns whether it was set.
  bool read(const std::string& key, bool& target);
  bool read(const std::string& key, int64_t& target, const Range& range = {});
  bool read(const std::string& key, uint64_t& target);
  bool read(const std::string& key, double& target, const Range& range = {});
  bool read(const std::string& key, std::string& target);
  bool read(const std::string& key, std::vector<std::string>& target);
  bool read(const std::string& key, std::vector<int64_t>& target, const Range& range = {});
  bool read(const std::string& key, std::vector<double>& target, const Range& range = {});
  bool read(const std::string& key, std::array<double, 2>& target, const Range& range = {});
  bool read(const std::string& key, std::array<double, 3>& target, const Range& range = {});
  bool read(const std::string& key, std::array<int64_t, 3>& target, const Range& range = {});
  bool read_choice(const std::string& key, std::string& target, const std::vector<std::string>& choices);
  // A file or folder; a relative one becomes absolute, from the folder of the file that it is written in.
  bool read_path(const std::string& key, std::string& target);
  // A name usable in paths, folders and `--set`: letters, digits, '-', '_'.
  bool read_name(const std::string& key, std::string& target);
  std::optional<Section> section(const std::string& key);
  // The elements of a list of tables; the path of one is its name, or its number from 0.
  std::vector<Section> sections(const std::string& key);

  // The member itself, which then counts as read; null when missing.
  const Member* take(const std::string& key);
  bool has(const std::string& key) const { return node_->find(key); }
  // Notes a mistake when the key is missing.
  bool require(const std::string& key, const std::string& what);
  const Node& node() const { return *node_; }
  const std::string& path() const { return path_; }
  std::string path(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }
  // Of the key, or of the table without it.
  const Place& place(const std::string& key) const;
  const Place& place() const { return place_; }
  Diagnostics& diagnostics() const { return *diagnostics_; }

  void error(const std::string& key, const std::string& message) const { diagnostics_->add(place(key), message); }
  void error(const std::string& message) const { diagnostics_->add(place_, message); }
  // "'stage.a.KEY' must be WHAT, got VALUE" at the key.
  void must_be(const std::string& key, const std::string& what) const;
  // Notes every key that was not asked for, with the nearest that was.
  void finish() const;

 private:
  template <class T>
  bool convert(const std::string& key, T& target, const Range& range);

  const Node* node_;
  Place place_;
  std::string path_;
  Diagnostics* diagnostics_;
  std::vector<std::string> known_;
};

bool is_name(const std::string& text);
std::string absolute_path(const std::string& text, const Place& place);

}  // namespace ivory::config
