#pragma once
// A key of the language is declared once. For every kind of table there is a function keys(v, spec) that names each of
// its keys with range, help and part in identities (keys_*.cpp). Reading, writing, identities and the reference page
// are visitors of it.

#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "config/plugin_use.h"
#include "config/range.h"
#include "plugin/catalogue.h"

namespace ivory::config {

struct ObjectiveUse;
struct ModelSpec;

enum class Text { plain, path, name };
enum class InIdentity {
  always,
  changed,  // where it is not the default: results had been recorded before the key existed
  used,     // where the other keys leave it a meaning
  never,    // it changes no result
};
enum class Written {
  always,
  given,  // unless it is empty, 0 or false
  never,
};

struct Field {
  std::string help;                       // what it is, for the reference page
  Range range = {};                       // of numbers, also of those in a list
  std::vector<std::string> choices = {};  // of texts
  std::string unit = "";
  std::string fallback = "";  // the default in words, where the value itself does not say it
  std::string needs = "";     // the key is required; what it is, for the message when it is missing
  std::string each = "";      // what an element of a list is called: none may be there twice
  std::string unused = "";  // why the other keys leave it no meaning, such as `is not used by "adamw"`; "": it has one
  Text text = Text::plain;
  bool ascending = false;  // two numbers, [smallest, largest]
  bool per_axis = false;   // three numbers, or one for all
  bool block = false;      // a table that is written under a header of its own
  bool flat = false;       // a table whose keys stand among those of its owner in identities
  std::string alias = "";  // an older name
  InIdentity identity = InIdentity::always;
  std::string identity_key = "";  // where identities have another name for it
  Written written = Written::always;
  std::string key = "";  // set by Fields
};

class Fields {
 public:
  using Value = std::variant<bool*, int64_t*, uint64_t*, double*, std::string*, std::optional<int64_t>*,
                             std::optional<double>*, std::vector<std::string>*, std::vector<int64_t>*,
                             std::array<double, 2>*, std::array<double, 3>*, std::array<int64_t, 3>*>;
  using Visit = std::function<void(Fields&)>;

  virtual ~Fields() = default;

  template <class T>
  void operator()(const char* key, T& target, Field field) {
    field.key = key;
    value(field, &target);
  }
  // An enumeration, by the texts that stand for its values.
  template <class E>
  void choice(const char* key, E& target, const std::vector<std::pair<std::string, E>>& texts, Field field);
  // A table in the table, and one whose keys stand among those of its owner but for identities.
  template <class Spec, class... Context>
  void table(const char* key, Spec& spec, Field field, const Context&... context);
  template <class Spec>
  void group(const char* key, Spec& spec);
  // A list of tables.
  template <class Spec, class... Context>
  void tables(const char* key, std::vector<Spec>& specs, Field field, const Context&... context);

  // What only some tables have.
  virtual void plugin(const char* key, PluginUse& use, plugin::Kind kind, Field field) = 0;
  virtual void objectives(const char* key, std::vector<ObjectiveUse>& uses, Field field) = 0;
  virtual void model(const char* key, std::optional<ModelSpec>& model, Field field) = 0;
  // Names, or tables {name = "…", weight = 0.7}; without weights `weights` is empty.
  virtual void weighted(const char* key, std::vector<std::string>& names, std::vector<double>& weights,
                        Field field) = 0;
  virtual void one_or_more(const char* key, std::vector<std::string>& names, Field field) = 0;
  // Two numbers of which the owner holds each by itself.
  virtual void ends(const char* key, double& low, double& high, Field field);

  // Whether the table that is read has the key, or one of the keys as a list; where nothing is read: `otherwise`.
  virtual bool has(const char*, bool otherwise) const { return otherwise; }
  virtual bool lists(std::initializer_list<const char*>, bool otherwise) const { return otherwise; }
  // Notes, where the table is read, that the key's value must be `what`; without a key, that the table `what`.
  virtual void expect(bool holds, const char* key, const std::string& what) = 0;

 protected:
  virtual void value(const Field& field, Value value) = 0;
  // `usual` visits the same keys with their defaults.
  virtual void enter(const Field& field, const Visit& inside, const Visit& usual) = 0;
  virtual void enter_group(const Field& field, const Visit& inside, const Visit& usual) = 0;
  virtual void each(const Field& field, size_t count, const std::function<void(size_t)>& resize,
                    const std::function<void(Fields&, size_t)>& inside, const Visit& usual) = 0;
};

template <class E>
void Fields::choice(const char* key, E& target, const std::vector<std::pair<std::string, E>>& texts, Field field) {
  std::string text;
  for (const auto& [name, value] : texts) {
    field.choices.push_back(name);
    if (value == target) text = name;
  }
  (*this)(key, text, std::move(field));
  for (const auto& [name, value] : texts) {
    if (name == text) target = value;
  }
}

template <class Spec, class... Context>
void Fields::table(const char* key, Spec& spec, Field field, const Context&... context) {
  field.key = key;
  Spec usual{};
  enter(
      field, [&](Fields& v) { keys(v, spec, context...); }, [&](Fields& v) { keys(v, usual, context...); });
}

template <class Spec>
void Fields::group(const char* key, Spec& spec) {
  Spec usual{};
  enter_group(
      {.help = "", .key = key}, [&](Fields& v) { keys(v, spec); }, [&](Fields& v) { keys(v, usual); });
}

template <class Spec, class... Context>
void Fields::tables(const char* key, std::vector<Spec>& specs, Field field, const Context&... context) {
  field.key = key;
  Spec usual{};
  each(
      field, specs.size(), [&](size_t count) { specs.assign(count, Spec{}); },
      [&](Fields& v, size_t i) { keys(v, specs[i], context...); }, [&](Fields& v) { keys(v, usual, context...); });
}

}  // namespace ivory::config
