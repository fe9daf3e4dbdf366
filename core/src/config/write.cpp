// The resolved experiment as TOML.
#include <algorithm>
#include <concepts>

#include "base/text.h"
#include "config/keys.h"
#include "config/node.h"

namespace ivory::config {
namespace {

std::string toml(bool value) {
  return value ? "true" : "false";
}
template <std::integral T>
requires(!std::same_as<T, bool>) std::string toml(T value) {
  return std::to_string(value);
}
std::string toml(double value) {
  return written(value);
}
std::string toml(const std::string& value) {
  return written(value);
}
template <class T>
std::string toml(const std::optional<T>& value) {
  return toml(value.value_or(T{}));
}
template <class Sequence>
requires requires(const Sequence& s) {
  s.begin();
}
std::string toml(const Sequence& values) {
  return "[" + base::joined(values, ", ", [](const auto& value) { return toml(value); }) + "]";
}

bool is_given(const std::string& value) {
  return !value.empty();
}
template <class T>
bool is_given(const std::optional<T>& value) {
  return value.has_value();
}
template <class T>
requires std::is_arithmetic_v<T>
bool is_given(T value) {
  return value != 0;
}
template <class T>
bool is_given(const std::vector<T>& values) {
  return !values.empty();
}
template <class T, size_t N>
bool is_given(const std::array<T, N>& values) {
  return values != std::array<T, N>{};
}

// A table: its keys, and behind them the tables in it that have a header of their own.
class Writer : public Fields {
 public:
  explicit Writer(std::string title = "") : title_(std::move(title)) {}

  void plugin(const char* key, PluginUse& use, plugin::Kind, Field) override { add(key, written_plugin(use)); }
  void objectives(const char* key, std::vector<ObjectiveUse>& uses, Field) override {
    std::vector<std::string> items;
    for (const auto& use : uses) {
      Writer item;
      item.options(use.plugin);
      item.add("on", use.on == SampleKind::slice ? "\"slices\"" : "\"volumes\"");
      item.add("weight", toml(use.weight));
      items.push_back(item.in_line());
    }
    add(key, rows(items));
  }
  void model(const char* key, std::optional<ModelSpec>& model, Field field) override {
    if (!model || !field.unused.empty()) return;
    if (!model->name.empty()) return add(key, toml(model->name));
    Writer inside(title_.empty() ? "" : title_ + "." + key);
    inside.model_keys(*model);
    if (title_.empty()) return add(key, inside.in_line());
    blocks_.push_back(inside.block());
  }
  void weighted(const char* key, std::vector<std::string>& names, std::vector<double>& weights, Field) override {
    if (weights.empty()) return add(key, toml(names));
    std::vector<std::string> items;
    for (size_t i = 0; i < names.size(); ++i) {
      items.push_back("{name = " + toml(names[i]) + ", weight = " + toml(weights[i]) + "}");
    }
    add(key, rows(items));
  }
  void one_or_more(const char* key, std::vector<std::string>& names, Field) override {
    if (!names.empty()) add(key, names.size() == 1 ? toml(names.front()) : toml(names));
  }
  void expect(bool, const char*, const std::string&) override {}

  void model_keys(ModelSpec& spec) {
    keys(*this, spec);
    options(spec.composition, /*named=*/false);
    for (const auto& [role, use] : spec.backbones) add(role, written_plugin(use));
  }
  void add(const std::string& key, const std::string& text) { members_.push_back(key + " = " + text); }
  std::string in_line() const { return "{" + base::joined(members_) + "}"; }
  // "\n[title]\n" and all that is in it.
  std::string block(const std::string& open = "[", const std::string& close = "]") const {
    return "\n" + open + title_ + close + "\n" + base::joined(members_, "\n") + "\n" + base::joined(blocks_, "");
  }

 protected:
  void value(const Field& field, Value value) override {
    if (!field.unused.empty() || field.written == Written::never) return;
    std::visit(
        [&](const auto* target) {
          if (field.written == Written::always || is_given(*target)) add(field.key, toml(*target));
        },
        value);
  }
  void enter(const Field& field, const Visit& inside, const Visit&) override {
    if (field.written == Written::never) return;
    Writer writer(field.block ? title_ + "." + field.key : "");
    inside(writer);
    if (field.block) {
      blocks_.push_back(writer.block());
    } else {
      add(field.key, writer.in_line());
    }
  }
  void enter_group(const Field&, const Visit& inside, const Visit&) override { inside(*this); }
  void each(const Field& field, size_t count, const std::function<void(size_t)>&,
            const std::function<void(Fields&, size_t)>& inside, const Visit&) override {
    if (!field.unused.empty() || (count == 0 && field.written == Written::given)) return;
    std::vector<std::string> items;
    for (size_t i = 0; i < count; ++i) {
      Writer item;
      inside(item, i);
      items.push_back(item.in_line());
    }
    add(field.key, rows(items));
  }

 private:
  static std::string rows(const std::vector<std::string>& items) {
    return items.empty() ? "[]" : "[\n  " + base::joined(items, ",\n  ") + ",\n]";
  }
  static std::string written_plugin(const PluginUse& use) {
    Writer table;
    table.options(use);
    return table.in_line();
  }
  void options(const PluginUse& use, bool named = true) {
    if (named) add("name", toml(use.name));
    for (const auto& [name, value] : use.options.values()) {
      std::visit([&, &key = name](const auto& held) { add(key, toml(held)); }, value);
    }
  }

  const std::string title_;  // "stage.views"; "" of a table that is written in one line
  std::vector<std::string> members_;
  std::vector<std::string> blocks_;
};

template <class Spec>
std::string block(Spec spec, const std::string& title, const std::string& open = "[", const std::string& close = "]") {
  Writer writer(title);
  if constexpr (std::is_same_v<Spec, ModelSpec>) {
    writer.model_keys(spec);
  } else {
    keys(writer, spec);
  }
  return writer.block(open, close);
}

// "none" where a row or column has no counterpart among the paper's figures.
TableSpec with_references(TableSpec table) {
  const auto name = [](auto& part) {
    if (part.reference.empty()) part.reference = "none";
  };
  std::ranges::for_each(table.rows, name);
  std::ranges::for_each(table.columns, name);
  return table;
}

}  // namespace

std::string to_toml(const Experiment& experiment) {
  std::string text = experiment.sweep_point.empty() ? "" : "# Point of the sweep: " + experiment.sweep_point + "\n";
  text += "plugins = " + toml(experiment.plugins) + "\n" + block(experiment, "experiment");
  for (const auto& data : experiment.data) text += block(data, "data." + data.name);
  const ModelSpec& model = experiment.model;  // not written where it is the only one of `models`
  if (!model.composition.name.empty() && model.name.empty()) text += block(model, "model");
  for (const auto& named : experiment.models) text += block(named, "model." + named.name);
  for (const auto& stage : experiment.stages) text += block(stage, "stage", "[[", "]]");
  for (const auto& task : experiment.tasks) text += block(task, "task", "[[", "]]");
  const TableSpec& table = experiment.table;
  if (!table.rows.empty() || !table.columns.empty()) text += block(with_references(table), "table");
  return text;
}

}  // namespace ivory::config
