// `splits`: of a task, and of the part of a data set that is used.
#include <algorithm>
#include <charconv>

#include "config/keys.h"
#include "config/read_fields.h"

namespace ivory::config {
namespace {

bool parse_index(const std::string& text, int64_t& value) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failure == std::errc() && end == text.data() + text.size() && value >= 0;
}

// "name", "name:first-last" or "beginning*".
void check_split_entry(const std::string& entry, const std::vector<std::string>& volumes, const Place& place,
                       Diagnostics& diagnostics) {
  const size_t colon = entry.find(':');
  if (colon != std::string::npos) {
    const std::string range = entry.substr(colon + 1);
    const size_t dash = range.find('-');
    int64_t first = 0, last = 0;
    if (dash == std::string::npos || !parse_index(range.substr(0, dash), first) ||
        !parse_index(range.substr(dash + 1), last) || first > last) {
      diagnostics.add(
          place,
          "a range of slices is written \"name:first-last\" with first ≤ last, counted from 0, got \"" + entry + "\"");
    }
  }
  if (!volumes.empty() && !entry.ends_with('*'))
    expect_known(entry.substr(0, colon), volumes, "volume", place, diagnostics);
}

void check_entries(Section& section, const SplitSpec& spec, const DataSpec* data) {
  std::vector<std::string> volumes;
  if (data) {
    for (const auto& volume : data->volumes) volumes.push_back(volume.name);
  }
  const auto check = [&](const std::string& key, const std::vector<std::string>& entries) {
    const Member* member = section.take(key);
    if (!member || !member->node.list()) return;
    const List& items = *member->node.list();
    if (items.empty()) section.must_be(key, "a list of at least one volume");
    for (size_t i = 0; i < entries.size(); ++i) {
      check_split_entry(entries[i], volumes, items[i].place, section.diagnostics());
    }
  };
  check("train", spec.train);
  check("validation", spec.validation);
  check("test", spec.test);
}

}  // namespace

void read_splits(Section& owner, SplitSpec& spec, const DataSpec* data) {
  auto section = owner.section("splits");
  if (!section) return;
  Reader reader(*section);
  reader.read(spec);
  if (reader.lists({"train", "validation", "test"}, false)) return check_entries(*section, spec, data);
  if (spec.train_share + spec.validation_share < 1) return;
  section->error(section->has("train") ? "train" : "validation",
                 "'" + section->path() + "': the shares of train and validation leave nothing for the test set");
}

}  // namespace ivory::config
