#include "config/language.h"

#include <cmath>
#include <set>

#include "base/text.h"
#include "config/diagnostics.h"
#include "config/keys.h"
#include "config/node.h"
#include "config/typed.h"

namespace ivory::config {
namespace {

using Tables = std::map<std::string, std::string>;

std::string code(const std::string& text) {
  return "`" + text + "`";
}

template <class T>
std::string text_of(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "`true`" : "`false`";
  } else if constexpr (std::is_same_v<T, std::string>) {
    return code(written(value));
  } else if constexpr (std::is_arithmetic_v<T>) {
    return shortest(static_cast<double>(value));
  } else {
    std::string items;
    for (const auto& item : value) {
      std::string one = text_of(item);
      std::erase(one, '`');
      items += (items.empty() ? "" : ", ") + one;
    }
    return code("[" + items + "]");
  }
}
template <class T>
std::string text_of(const std::optional<T>&) {
  return "–";
}

struct TypeName {
  const Field& field;
  std::string operator()(const bool*) const { return "boolean"; }
  std::string operator()(const int64_t*) const { return "integer"; }
  std::string operator()(const uint64_t*) const { return "integer"; }
  std::string operator()(const std::optional<int64_t>*) const { return "integer"; }
  std::string operator()(const double*) const { return "number"; }
  std::string operator()(const std::optional<double>*) const { return "number"; }
  std::string operator()(const std::string*) const {
    return field.text == Text::path ? "path" : field.text == Text::name ? "name" : "text";
  }
  std::string operator()(const std::vector<std::string>*) const { return "list of texts"; }
  std::string operator()(const std::vector<int64_t>*) const { return "list of integers"; }
  std::string operator()(const std::array<double, 2>*) const { return "2 numbers"; }
  std::string operator()(const std::array<double, 3>*) const { return field.per_axis ? "number, or 3" : "3 numbers"; }
  std::string operator()(const std::array<int64_t, 3>*) const {
    return field.per_axis ? "integer, or 3" : "3 integers";
  }
};

std::string numbers(const Range& range) {
  const bool low = std::isfinite(range.minimum), high = std::isfinite(range.maximum);
  const std::string least = shortest(range.minimum), most = shortest(range.maximum);
  if (low && high && !range.above && !range.below) return least + " … " + most;
  if (low && high) return least + (range.above ? " < x" : " ≤ x") + (range.below ? " < " : " ≤ ") + most;
  if (low) return (range.above ? "> " : "≥ ") + least;
  return high ? (range.below ? "< " : "≤ ") + most : "";
}

std::string allowed(const Field& field, bool natural) {
  constexpr size_t most_choices = 6;
  std::vector<std::string> parts;
  if (field.choices.size() <= most_choices) {
    for (const auto& choice : field.choices) parts.push_back(code(written(choice)));
  }
  if (const std::string range = numbers(field.range); !range.empty()) parts.push_back(range);
  if (natural) parts.emplace_back("≥ 0");
  if (field.ascending) parts.emplace_back("ascending");
  if (!field.unit.empty()) parts.push_back(field.unit);
  return base::joined(parts);
}

class Reference : public Fields {
 public:
  Reference(Tables& tables, std::string name) : tables_(tables), name_(std::move(name)) {}
  ~Reference() override {
    tables_[name_] = "| key | type | default | range and unit | meaning |\n|---|---|---|---|---|\n" + rows_;
  }
  Reference(const Reference&) = delete;
  Reference& operator=(const Reference&) = delete;

  void plugin(const char* key, PluginUse&, plugin::Kind, Field field) override { special(key, "plugin", field); }
  void objectives(const char* key, std::vector<ObjectiveUse>&, Field field) override {
    special(key, "list of plugins", field);
  }
  void model(const char* key, std::optional<ModelSpec>&, Field field) override { special(key, "text or table", field); }
  void weighted(const char* key, std::vector<std::string>&, std::vector<double>&, Field field) override {
    special(key, "list of texts or tables", field);
  }
  void one_or_more(const char* key, std::vector<std::string>&, Field field) override {
    special(key, "text or list of texts", field);
  }
  bool has(const char*, bool) const override { return true; }  // every key that there may be
  void expect(bool, const char*, const std::string&) override {}

 protected:
  void value(const Field& field, Value value) override {
    const std::string type = std::visit(TypeName{field}, value);
    const bool natural = std::holds_alternative<uint64_t*>(value);
    row(field, type, std::visit([](const auto* target) { return text_of(*target); }, value), natural);
  }
  void enter(const Field& field, const Visit&, const Visit& usual) override {
    if (!field.block) row(field, "table", "–");
    Reference inside(tables_, name_ + "." + field.key);
    usual(inside);
  }
  void enter_group(const Field&, const Visit&, const Visit&) override {}  // it has a table of its own
  void each(const Field& field, size_t, const std::function<void(size_t)>&, const std::function<void(Fields&, size_t)>&,
            const Visit& usual) override {
    row(field, "list of tables", "–");
    Reference inside(tables_, name_ + "." + field.key);
    usual(inside);
  }

 private:
  void special(const char* key, const std::string& type, Field& field) {
    field.key = key;
    row(field, type, "–");
  }
  void row(const Field& field, const std::string& type, const std::string& usual, bool natural = false) {
    if (!keys_.insert(field.key).second) return;
    const std::string fallback = !field.fallback.empty() ? field.fallback : field.needs.empty() ? usual : "required";
    rows_ += "| " + code(field.key) + " | " + type + " | " + fallback + " | " + allowed(field, natural) + " | " +
             field.help + " |\n";
  }

  Tables& tables_;
  const std::string name_;
  std::string rows_;
  std::set<std::string> keys_;
};

template <class Spec, class... Context>
void describe(Tables& tables, const std::string& name, const Context&... context) {
  Spec usual{};
  Reference reference(tables, name);
  keys(reference, usual, context...);
}

}  // namespace

std::map<std::string, std::string> key_tables() {
  Tables tables;
  describe<Experiment>(tables, "experiment");
  describe<DataSpec>(tables, "data");
  describe<ModelSpec>(tables, "model");
  describe<StageSpec>(tables, "stage");
  describe<TaskSpec>(tables, "task");
  describe<TrainSpec>(tables, "training");
  describe<TableSpec>(tables, "table");
  describe<HalvingSpec>(tables, "sweep.halving");
  return tables;
}

std::string with_key_tables(const std::string& page) {
  static const std::string open = "<!-- keys ", shut = " -->\n", end = "<!-- end -->";
  const auto tables = key_tables();
  std::vector<std::string> names;
  for (const auto& [name, table] : tables) names.push_back(name);
  std::string made;
  size_t at = 0;
  for (size_t begin = 0; (begin = page.find(open, at)) != std::string::npos;) {
    const size_t name_at = begin + open.size(), name_end = page.find(shut, name_at);
    const size_t stop = page.find(end, name_at);
    IVORY_CHECK(name_end < stop && stop != std::string::npos, "a table of keys has no ", end);
    const std::string name = page.substr(name_at, name_end - name_at);
    const auto table = tables.find(name);
    IVORY_CHECK(table != tables.end(), "the language has no table '", name, "'", suggestion(name, names));
    made += page.substr(at, name_end + shut.size() - at) + table->second;
    at = stop;
  }
  return made + page.substr(at);
}

}  // namespace ivory::config
