// `splits`: of a task, and of the part of a data set that is used.
#include <algorithm>
#include <charconv>

#include "config/sections.h"

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

void read_split_lists(Section& section, SplitSpec& spec, const DataSpec* data) {
  std::vector<std::string> volumes;
  if (data) {
    for (const auto& volume : data->volumes) volumes.push_back(volume.name);
  }
  const auto read = [&](const std::string& key, std::vector<std::string>& entries) {
    if (!section.require(key, "each of train, validation and test lists volumes") || !section.read(key, entries))
      return;
    const List& items = *section.take(key)->node.list();
    if (items.empty()) section.must_be(key, "a list of at least one volume");
    for (size_t i = 0; i < items.size(); ++i) {
      check_split_entry(entries[i], volumes, items[i].place, section.diagnostics());
    }
  };
  read("train", spec.train);
  read("validation", spec.validation);
  read("test", spec.test);
  section.read("allow_shared_patients", spec.allow_shared_patients);
}

void read_split_shares(Section& section, SplitSpec& spec) {
  section.read("train", spec.train_share, {.minimum = 0, .maximum = 1, .above = true, .below = true});
  section.read("validation", spec.validation_share, {.minimum = 0, .maximum = 1, .above = true, .below = true});
  section.read("seed", spec.seed);
  section.read("redraw", spec.redraw);
  if (spec.train_share + spec.validation_share >= 1) {
    section.error(section.has("train") ? "train" : "validation",
                  "'" + section.path() + "': the shares of train and validation leave nothing for the test set");
  }
}

}  // namespace

void read_splits(Section& owner, SplitSpec& spec, const DataSpec* data) {
  auto section = owner.section("splits");
  if (!section) return;
  bool lists = false;
  for (const char* key : {"train", "validation", "test"}) {
    const Member* member = section->node().find(key);
    lists = lists || (member && member->node.list());
  }
  if (lists) {
    read_split_lists(*section, spec, data);
  } else {
    read_split_shares(*section, spec);
  }
  section->finish();
}

}  // namespace ivory::config
