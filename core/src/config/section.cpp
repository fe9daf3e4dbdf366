#include "config/section.h"

#include <ivory/options.h>

#include <algorithm>
#include <cmath>

#include "config/typed.h"

namespace ivory::config {
namespace {

std::string range_text(const Range& range) {
  const bool low = std::isfinite(range.minimum), high = std::isfinite(range.maximum);
  if (low && high && !range.above && !range.below) {
    return "between " + shortest(range.minimum) + " and " + shortest(range.maximum);
  }
  std::string text = low ? (range.above ? "above " : "at least ") + shortest(range.minimum) : "";
  if (high) text += (low ? " and " : "") + std::string(range.below ? "below " : "at most ") + shortest(range.maximum);
  return text.empty() ? "finite" : text;
}

// Whether there is an infinity or NaN among the values.
template <class T>
bool all_finite(const T& value) {
  if constexpr (std::is_floating_point_v<T>) return std::isfinite(value);
  if constexpr (requires { requires std::is_floating_point_v<typename T::value_type>; })
    return std::ranges::all_of(value, [](double one) { return std::isfinite(one); });
  return true;
}

bool inside(const Range& range, double value) {
  const bool low = range.above ? value > range.minimum : value >= range.minimum;
  const bool high = range.below ? value < range.maximum : value <= range.maximum;
  return std::isfinite(value) && low && high;
}
bool inside(const Range&, bool) {
  return true;
}
bool inside(const Range&, const std::string&) {
  return true;
}
bool inside(const Range& range, int64_t value) {
  return inside(range, static_cast<double>(value));
}
template <class Sequence>
requires requires(const Sequence& s) {
  s.begin();
}
bool inside(const Range& range, const Sequence& values) {
  return std::all_of(values.begin(), values.end(), [&](const auto& value) { return inside(range, value); });
}

}  // namespace

Section::Section(const Node& table, Place place, std::string path, Diagnostics& diagnostics)
    : node_(&table), place_(std::move(place)), path_(std::move(path)), diagnostics_(&diagnostics) {}

const Member* Section::take(const std::string& key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.push_back(key);
  return node_->find(key);
}

const Place& Section::place(const std::string& key) const {
  const Member* member = node_->find(key);
  return member ? member->blame() : place_;
}

void Section::must_be(const std::string& key, const std::string& what) const {
  const Member* member = node_->find(key);
  error(key, "'" + path(key) + "' must be " + what + ", got " + (member ? described(member->node) : "nothing"));
}

bool Section::require(const std::string& key, const std::string& what) {
  if (take(key)) return true;
  error((path_.empty() ? "the experiment" : "'" + path_ + "'") + " needs '" + key + "': " + what);
  return false;
}

template <class T>
bool Section::convert(const std::string& key, T& target, const Range& range) {
  const Member* member = take(key);
  if (!member) return false;
  T value{};
  if (!typed(member->node, value)) {
    must_be(key, type_text(value));
    return false;
  }
  if (!inside(range, value)) {
    const std::string limits = range_text(range), finite = all_finite(value) || limits == "finite" ? "" : "finite and ";
    must_be(key, (member->node.list() ? "a list of numbers, each " : "") + finite + limits);
    return false;
  }
  target = std::move(value);
  return true;
}

bool Section::read(const std::string& key, bool& target) {
  return convert(key, target, {});
}
bool Section::read(const std::string& key, int64_t& target, const Range& range) {
  return convert(key, target, range);
}
bool Section::read(const std::string& key, double& target, const Range& range) {
  return convert(key, target, range);
}
bool Section::read(const std::string& key, std::string& target) {
  return convert(key, target, {});
}
bool Section::read(const std::string& key, std::vector<std::string>& target) {
  return convert(key, target, {});
}
bool Section::read(const std::string& key, std::vector<int64_t>& target, const Range& range) {
  return convert(key, target, range);
}
bool Section::read(const std::string& key, std::vector<double>& target, const Range& range) {
  return convert(key, target, range);
}
bool Section::read(const std::string& key, std::array<double, 2>& target, const Range& range) {
  return convert(key, target, range);
}
bool Section::read(const std::string& key, std::array<double, 3>& target, const Range& range) {
  return convert(key, target, range);
}
bool Section::read(const std::string& key, std::array<int64_t, 3>& target, const Range& range) {
  return convert(key, target, range);
}

bool Section::read(const std::string& key, uint64_t& target) {
  int64_t value = 0;
  if (!convert(key, value, at_least(0))) return false;
  target = static_cast<uint64_t>(value);
  return true;
}

bool Section::read_choice(const std::string& key, std::string& target, const std::vector<std::string>& choices) {
  std::string value;
  if (!read(key, value)) return false;
  if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
    std::string list;
    for (const auto& choice : choices) list += (list.empty() ? "\"" : ", \"") + choice + "\"";
    const std::string close = nearest(value, choices);
    must_be(key, "one of " + list + (close.empty() ? "" : " (did you mean \"" + close + "\"?)"));
    return false;
  }
  target = value;
  return true;
}

bool Section::read_path(const std::string& key, std::string& target) {
  if (!read(key, target)) return false;
  target = absolute_path(target, place(key));
  return true;
}

bool Section::read_name(const std::string& key, std::string& target) {
  std::string value;
  if (!read(key, value)) return false;
  if (!is_name(value)) {
    must_be(key, "a name of letters, digits, '-' and '_'");
    return false;
  }
  target = value;
  return true;
}

std::optional<Section> Section::section(const std::string& key) {
  const Member* member = take(key);
  if (!member) return std::nullopt;
  if (!member->node.table()) {
    must_be(key, "a table");
    return std::nullopt;
  }
  return Section(member->node, member->blame(), path(key), *diagnostics_);
}

std::vector<Section> Section::sections(const std::string& key) {
  std::vector<Section> found;
  const Member* member = take(key);
  if (!member) return found;
  const List* items = member->node.list();
  if (!items) {
    must_be(key, path_.empty() ? "a list of tables: write [[" + key + "]]" : "a list of tables");
    return found;
  }
  for (size_t i = 0; i < items->size(); ++i) {
    const Node& item = (*items)[i];
    if (item.table()) {
      const std::string name = name_of(item);
      found.emplace_back(item, item.place, path(key) + "." + (name.empty() ? std::to_string(i) : name), *diagnostics_);
    } else {
      diagnostics_->add(item.place, "'" + path(key) + "' must be a list of tables, got " + described(item));
    }
  }
  return found;
}

void Section::finish() const {
  for (const auto& member : *node_->table()) {
    if (std::find(known_.begin(), known_.end(), member.key) != known_.end()) continue;
    const Place& at = member.blame();
    if (at.line == 0 || member.swept) {
      diagnostics_->add(at, "unknown path '" + path(member.key) + "'" +
                                suggestion(member.key, known_, path_.empty() ? "" : path_ + "."));
    } else {
      diagnostics_->add(at, "unknown key '" + member.key + "'" + (path_.empty() ? "" : " in " + path_) +
                                suggestion(member.key, known_));
    }
  }
}

bool is_name(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return c < 0x80 && (std::isalnum(c) || c == '-' || c == '_');
  });
}

std::string absolute_path(const std::string& text, const Place& place) {
  return text.empty() ? "" : (place.folder() / text).lexically_normal().string();
}

}  // namespace ivory::config
