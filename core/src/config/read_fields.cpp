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
  if (holds) return;
  if (*key) {
    section_.must_be(key, what);
  } else {
    section_.error("'" + section_.path() + "' " + what);
  }
}

template <class T>
bool Reader::read_as(const Field& field, const std::string& key, T& target) {
  if constexpr (requires { section_.read(key, target, field.range); }) {
    return section_.read(key, target, field.range);
  } else {
    return section_.read(key, target);
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

void Reader::value(const Field& field, Value value) {
  if (replaced(field) || !wanted(field)) return;
  const std::string key = spelled(field);
  if (auto** text = std::get_if<std::string*>(&value)) {
    if (!field.choices.empty()) {
      section_.read_choice(key, **text, field.choices);
    } else if (field.text == Text::path) {
      section_.read_path(key, **text);
    } else if (field.text == Text::name) {
      section_.read_name(key, **text);
    } else {
      section_.read(key, **text);
    }
  } else if (auto** texts = std::get_if<std::vector<std::string>*>(&value)) {
    if (section_.read(key, **texts) && !field.each.empty()) expect_once(field, key, **texts);
  } else if (auto** pair = std::get_if<std::array<double, 2>*>(&value); pair && field.ascending) {
    auto read = **pair;
    const bool well = section_.read(key, read, field.range);
    if (well && read[0] > read[1]) section_.must_be(key, "[smallest, largest]");
    if (well && read[0] <= read[1]) **pair = read;
  } else if (auto** optional = std::get_if<std::optional<int64_t>*>(&value)) {
    if (int64_t read = 0; section_.read(key, read, field.range)) **optional = read;
  } else {
    std::visit(
        [&]<class T>(T* target) {
          if constexpr (!std::is_same_v<T, std::optional<int64_t>>) {
            const bool all = field.per_axis && !section_.take(key)->node.list();
            if constexpr (requires { target->fill((*target)[0]); }) {
              if (auto one = (*target)[0]; all) {
                if (read_as(field, key, one)) target->fill(one);
                return;
              }
            }
            read_as(field, key, *target);
          }
        },
        value);
  }
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
