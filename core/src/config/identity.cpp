#include <algorithm>
#include <nlohmann/json.hpp>

#include "config/keys.h"
#include "config/layouts.h"
#include "config/model_tables.h"

namespace ivory::config {
namespace {

using nlohmann::json;

json canonical(const PluginUse& use) {
  json options = json::object();
  for (const auto& option : use.options.declared()) {
    const OptionValue& value = use.options.values().at(option.name);
    if (option.added_later && value == option.fallback) continue;
    options[option.name] = std::visit([](const auto& held) { return json(held); }, value);
  }
  return {{"name", use.name}, {"cache_version", use.cache_version}, {"options", options}};
}

// The keys of a table that change its results.
class Identity : public Fields {
 public:
  // `usual`: the same table with every default; null for that one itself.
  explicit Identity(const Identity* usual = nullptr) : usual_(usual) {}

  const json& kept() const { return kept_; }

  void plugin(const char* key, PluginUse& use, plugin::Kind, Field) override { kept_[key] = canonical(use); }
  void objectives(const char* key, std::vector<ObjectiveUse>& uses, Field) override {
    kept_[key] = json::array();
    for (const auto& use : uses) {
      kept_[key].push_back({{"plugin", canonical(use.plugin)}, {"weight", use.weight}});
      if (use.label.empty() || use.label == use.plugin.name)
        continue;  // it learns from the first of its kinds, as before it could choose
      kept_[key].back()["on"] = use.on == SampleKind::slice ? "slices" : "volumes";
    }
  }
  void model(const char*, std::optional<ModelSpec>&, Field) override {}
  // The plan adds the identities of the data.
  void weighted(const char*, std::vector<std::string>&, std::vector<double>& weights, Field field) override {
    if (!weights.empty()) kept_[field.identity_key] = weights;
  }
  void one_or_more(const char*, std::vector<std::string>&, Field) override {}
  void ends(const char* key, double& low, double& high, Field) override {
    kept_[std::string(key) + "_min"] = low;
    kept_[std::string(key) + "_max"] = high;
  }
  void expect(bool, const char*, const std::string&) override {}

 protected:
  void value(const Field& field, Value value) override {
    json held = std::visit([](const auto* target) { return of(*target); }, value);
    if (!held.is_null()) keep(field, std::move(held));
  }
  void enter(const Field& field, const Visit& inside, const Visit& usual) override {
    if (field.identity == InIdentity::never) return;
    Identity defaults;
    usual(defaults);
    Identity table(&defaults);
    inside(table);
    if (field.flat) {
      kept_.update(table.kept_);
    } else {
      keep(field, table.kept_);
    }
  }
  void enter_group(const Field& field, const Visit& inside, const Visit& usual) override {
    enter(field, inside, usual);
  }
  void each(const Field& field, size_t count, const std::function<void(size_t)>&,
            const std::function<void(Fields&, size_t)>& inside, const Visit& usual) override {
    if (field.identity == InIdentity::never) return;
    Identity defaults;
    usual(defaults);
    json items = json::array();
    for (size_t i = 0; i < count; ++i) {
      Identity item(&defaults);
      inside(item, i);
      items.push_back(item.kept_);
    }
    keep(field, std::move(items));
  }

 private:
  template <class T>
  static json of(const T& value) {
    return value;
  }
  template <class T>
  static json of(const std::optional<T>& value) {
    return value ? json(*value) : json();
  }

  void keep(const Field& field, json value) {
    const std::string& key = field.identity_key.empty() ? field.key : field.identity_key;
    all_[key] = value;
    const bool usual = usual_ && usual_->all_.contains(key) && usual_->all_[key] == value;
    if (field.identity == InIdentity::never || (field.identity == InIdentity::changed && usual)) return;
    if (field.identity == InIdentity::used && !field.unused.empty()) return;
    kept_[key] = std::move(value);
  }

  const Identity* usual_;
  json all_ = json::object();   // what `changed` is told by
  json kept_ = json::object();  // the identity
};

template <class Spec>
json identity_of(Spec spec) {
  Spec usual{};
  Identity defaults;
  keys(defaults, usual);
  Identity whole(&defaults);
  keys(whole, spec);
  return whole.kept();
}

// Raised when the same files give other pixels: caches are then built again.
constexpr int ingest_version = 3;
// Raised when the same recipe gives other phantoms.
constexpr int phantom_version = 2;

}  // namespace

nlohmann::json identity(const DataSpec& spec) {
  DataSpec sorted = spec;
  std::ranges::sort(sorted.only.parts);
  json whole = identity_of(sorted);
  whole["ingest_version"] = ingest_version;
  if (const LayoutInfo* layout = find_layout(spec.layout); layout && layout->version > 0) {
    whole["layout_version"] = layout->version;
  }
  if (spec.layout == "phantom") whole["phantom"]["generator"] = phantom_version;
  return whole;
}

// Of "image-volume" as it was written before there were other compositions.
nlohmann::json identity(const ModelSpec& spec) {
  json whole = {{"weights", spec.weights}};
  if (spec.composition.name != usual_composition) {
    whole["composition"] = canonical(spec.composition);
    whole["backbones"] = json::object();
    for (const auto& [role, use] : spec.backbones) whole["backbones"][role] = canonical(use);
    return whole;
  }
  for (const char* role : {"slice_backbone", "volume_backbone"}) {
    const PluginUse* use = spec.backbone(role);
    whole[role] = use ? canonical(*use) : json();
  }
  const json composition = canonical(spec.composition);
  whole.update(composition["options"]);
  if (spec.composition.cache_version > 1) whole["cache_version"] = spec.composition.cache_version;
  return whole;
}

nlohmann::json identity(const StageSpec& spec) {
  return identity_of(spec);
}
nlohmann::json identity(const TaskSpec& spec) {
  return identity_of(spec);
}

}  // namespace ivory::config
