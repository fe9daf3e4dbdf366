#include "config/read_fields.h"

#include <algorithm>

namespace ivory::config {

Reader& Reader::instead(const std::string& key, std::function<void()> read) {
  instead_[key] = std::move(read);
  return *this;
}

bool Reader::replaced(const Field& field) {
  const auto found = instead_.find(field.key);
  if (found == instead_.end()) return false;
  section_.take(field.key);
  if (!field.unused.empty()) wanted(field);
  found->second();
  return true;
}

void Reader::custom(const char* key, Field& field) {
  field.key = key;
  if (!field.unused.empty()) wanted(field);
  if (field.unused.empty() && !replaced(field)) section_.take(key);
}

std::string Reader::spelled(const Field& field) {
  if (field.alias.empty() || !section_.has(field.alias)) return field.key;
  if (section_.has(field.key)) {
    section_.take(field.alias);
    section_.error(field.alias,
                   "'" + section_.path(field.alias) + "' is an older name of '" + field.key + "', which is there too");
    return field.key;
  }
  section_.take(field.key);
  return field.alias;
}

bool Reader::wanted(const Field& field) {
  const std::string key = spelled(field);
  if (!field.unused.empty()) {
    if (section_.take(key)) section_.error(key, "'" + section_.path(key) + "' " + field.unused);
    return false;
  }
  return field.needs.empty() ? section_.take(key) != nullptr : section_.require(key, field.needs);
}

bool Reader::lists(std::initializer_list<const char*> names, bool) const {
  return std::ranges::any_of(names, [&](const char* name) {
    const Member* member = section_.node().find(name);
    return member && member->node.list();
  });
}

void Reader::expect(bool holds, const char* key, const std::string& what) {
  if (holds || wrong_.contains(key)) return;
  if (*key) {
    section_.must_be(key, what);
  } else {
    section_.error("'" + section_.path() + "' " + what);
  }
}

void Reader::expect_once(const Field& field, const std::string& key, const std::vector<std::string>& values) {
  const List& items = *section_.take(key)->node.list();
  if (items.empty() && !field.needs.empty()) return section_.must_be(key, "a list of at least one " + field.each);
  for (size_t i = 0; i < values.size(); ++i) {
    if (!field.choices.empty()) {
      expect_known(values[i], field.choices, field.each, items[i].place, section_.diagnostics());
    }
    if (std::count(values.begin(), values.begin() + static_cast<ptrdiff_t>(i), values[i]) > 0) {
      section_.diagnostics().add(items[i].place, "'" + values[i] + "' is listed twice");
    }
  }
}

bool Reader::read_text(const Field& field, const std::string& key, std::string& target) {
  if (!field.choices.empty()) return section_.read_choice(key, target, field.choices);
  const bool well = field.text == Text::path   ? section_.read_path(key, target)
                    : field.text == Text::name ? section_.read_name(key, target)
                                               : section_.read(key, target);
  if (!well || field.needs.empty() || !target.empty()) return well;
  section_.must_be(key, field.needs);
  return false;
}

bool Reader::read_pair(const Field& field, const std::string& key, std::array<double, 2>& target) {
  auto read = target;
  if (!section_.read(key, read, field.range)) return false;
  if (field.ascending && read[0] > read[1]) {
    section_.must_be(key, "[smallest, largest]");
    return false;
  }
  target = read;
  return true;
}

// A number for all three axes, or one each.
template <class T>
bool Reader::read_axes(const Field& field, const std::string& key, std::array<T, 3>& target) {
  if (!field.per_axis || section_.take(key)->node.list()) return section_.read(key, target, field.range);
  T all{};
  if (!section_.read(key, all, field.range)) return false;
  target.fill(all);
  return true;
}

template <class T>
bool Reader::read_value(const Field& field, const std::string& key, T& target) {
  if constexpr (std::is_same_v<T, std::string>) {
    return read_text(field, key, target);
  } else if constexpr (std::is_same_v<T, std::array<double, 2>>) {
    return read_pair(field, key, target);
  } else if constexpr (requires { read_axes(field, key, target); }) {
    return read_axes(field, key, target);
  } else if constexpr (std::is_same_v<T, std::optional<int64_t>> || std::is_same_v<T, std::optional<double>>) {
    typename T::value_type number = 0;
    const bool well = section_.read(key, number, field.range);
    if (well) target = number;
    return well;
  } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    const bool well = section_.read(key, target);
    if (well && !field.each.empty()) expect_once(field, key, target);
    return well;
  } else if constexpr (requires { section_.read(key, target, field.range); }) {
    return section_.read(key, target, field.range);
  } else {
    return section_.read(key, target);
  }
}

void Reader::value(const Field& field, Value value) {
  if (replaced(field) || !wanted(field)) return;
  const std::string key = spelled(field);
  const bool well = std::visit([&](auto* target) { return read_value(field, key, *target); }, value);
  if (!well) wrong_.insert(field.key);
}

void Reader::plugin(const char* key, PluginUse& use, plugin::Kind kind, Field field) {
  field.key = key;
  if (!wanted(field)) return;
  if (auto section = section_.section(key)) use = read_plugin(*section, kind, *scope_);
}

void Reader::one_or_more(const char* key, std::vector<std::string>& names, Field field) {
  field.key = key;
  if (replaced(field) || !wanted(field)) return;
  const Node& node = section_.take(key)->node;
  if (node.text()) {
    names = {*node.text()};
  } else if (!section_.read(key, names) || names.empty()) {
    section_.must_be(key, "a text, or a list of texts");
  }
}

void Reader::enter(const Field& field, const Visit& inside, const Visit&) {
  if (replaced(field) || !wanted(field)) return;
  auto section = section_.section(field.key);
  if (!section) return;
  Reader reader(*section, scope_);
  inside(reader);
  section->finish();
}

void Reader::each(const Field& field, size_t, const std::function<void(size_t)>& resize,
                  const std::function<void(Fields&, size_t)>& inside, const Visit&) {
  if (replaced(field) || !wanted(field)) return;
  auto sections = section_.sections(field.key);
  const Node& node = section_.take(field.key)->node;
  if (node.list() && node.list()->empty() && !field.needs.empty()) {
    section_.must_be(field.key, "a list of at least one " + field.each);
  }
  if (!field.each.empty()) expect_unique(sections, field.each);
  resize(sections.size());
  for (size_t i = 0; i < sections.size(); ++i) {
    Reader reader(sections[i], scope_);
    inside(reader, i);
    sections[i].finish();
  }
}

}  // namespace ivory::config
