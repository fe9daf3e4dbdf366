#include "config/models.h"

#include <algorithm>

#include "base/text.h"
#include "config/keys.h"
#include "config/model_tables.h"
#include "config/read_fields.h"

namespace ivory::config {
namespace {

using plugin::Kind;

std::vector<std::string> role_names(const PluginInfo& info) {
  std::vector<std::string> names;
  for (const auto& role : info.roles) names.push_back(role.name);
  return names;
}

std::vector<std::string> names_of_models(const Experiment& experiment) {
  std::vector<std::string> names;
  for (const auto& model : experiment.models) names.push_back(model.name);
  return names;
}

// Backbones in roles that the composition does not have.
void expect_roles(Section& section, const PluginInfo& info) {
  const auto declared = [&](const std::string& key) {
    return std::ranges::any_of(info.options, [&](const Option& option) { return option.name == key; });
  };
  for (const auto& member : *section.node().table()) {
    const bool plain = !member.node.table() || member.key == "name" || member.key == "weights";
    const auto roles = role_names(info);
    if (plain || declared(member.key) || std::ranges::count(roles, member.key) > 0) continue;
    section.take(member.key);
    section.error(member.key, "'" + section.path() + "': the model '" + info.name + "' has no '" + member.key + "'" +
                                  (roles.empty() ? "; it takes no backbones" : suggestion(member.key, roles)));
  }
}

// A table like [model].
ModelSpec read_model(Section& section, Scope& scope) {
  ModelSpec spec;
  spec.where = location(section.place());
  spec.composition.name = usual_composition;
  spec.composition.where = location(section.place("name"));
  Reader reader(section, &scope);
  keys(reader, spec);
  const PluginInfo* info = find_plugin(section, Kind::model, spec.composition.name, scope);
  if (!info) return spec;
  for (const auto& role : info->roles) {
    if (role.required && !section.require(role.name, "a table such as {name = \"resnet\"}")) continue;
    if (auto use = section.section(role.name)) {
      spec.backbones[role.name] = read_plugin(*use, Kind::backbone, scope);
    }
  }
  expect_roles(section, *info);
  read_options(section, *info, spec.composition);
  return spec;
}

const ModelSpec* named(const std::string& name, const Experiment& experiment, const Place& place, Scope& scope) {
  if (!expect_known(name, names_of_models(experiment), "model", place, scope.diagnostics)) return nullptr;
  return &*std::ranges::find(experiment.models, name, &ModelSpec::name);
}

class StageModels {
 public:
  StageModels(Section& document, std::vector<Section>& stages, const Experiment& experiment, Scope& scope)
      : tables_(model_tables(document.node(), scope.catalogue)),
        stages_(stages),
        experiment_(experiment),
        scope_(scope) {}

  std::map<std::string, ModelSpec> run() {
    for (auto& stage : stages_) read(stage);
    std::map<std::string, ModelSpec> models;
    for (auto& stage : stages_) {
      const std::string name = name_of(stage.node());
      if (const std::string owner = owner_of(name); specs_.count(owner)) models[name] = specs_.at(owner);
      if (owner_of(name).empty()) expect_usual(stage);
    }
    return models;
  }

 private:
  void read(Section& stage) {
    const Member* own = stage.take("model");
    if (!own) return;
    const std::string name = name_of(stage.node());
    if (own->node.text()) {
      const ModelSpec* found = config::named(*own->node.text(), experiment_, own->node.place, scope_);
      if (found && named(name) == &stage) specs_[name] = *found;
      return;
    }
    if (!own->node.table()) return stage.must_be("model", "the name of a [model.NAME], or a table of what differs");
    if (named(name) != &stage) return;  // it has no name, or one that is taken: mistakes that are noted elsewhere
    const Node merged = node_of(name);
    Section section(merged, own->blame(), stage.path("model"), scope_.diagnostics);
    specs_[name] = read_model(section, scope_);
  }

  void expect_usual(const Section& stage) {
    if (tables_.usual() || !tables_.there) return;
    stage.error("'" + stage.path() +
                "' needs 'model', the name of one of several: " + base::joined(names_of_models(experiment_)));
  }

  Section* named(const std::string& name) {
    const auto found =
        std::find_if(stages_.begin(), stages_.end(), [&](const Section& s) { return name_of(s.node()) == name; });
    return name.empty() || found == stages_.end() ? nullptr : &*found;
  }

  std::string from(const Section& stage) const {
    const Member* member = stage.node().find("from");
    return member && member->node.text() ? *member->node.text() : "";
  }

  // The first stage with a `model` on the way back from there; "" without one, and on a cycle.
  std::string owner_of(std::string name) {
    for (size_t step = 0; step <= stages_.size(); ++step) {
      const Section* stage = named(name);
      if (!stage) return "";
      if (const Member* own = stage->node().find("model"); own && (own->node.table() || own->node.text())) return name;
      name = from(*stage);
    }
    return "";
  }

  // What the owner says, over the models before it and [model].
  Node node_of(const std::string& owner, size_t depth = 0) {
    const Section& stage = *named(owner);
    const Node& own = stage.node().find("model")->node;
    if (own.text()) {
      const Member* found = tables_.find(*own.text());
      return found ? found->node : Node{Table{}, own.place};
    }
    const std::string before = depth < stages_.size() ? owner_of(from(stage)) : "";
    if (before.empty()) return differing(own, tables_.usual());
    const Node base = node_of(before, depth + 1);
    return differing(own, &base);
  }

  const ModelTables tables_;
  std::vector<Section>& stages_;
  const Experiment& experiment_;
  Scope& scope_;
  std::map<std::string, ModelSpec> specs_;  // of the stages that have a `model` of their own
};

}  // namespace

void read_models(Section& document, Experiment& experiment, Scope& scope) {
  const bool needed = document.has("stage") || document.has("task");
  if (needed) document.require("model", "a [model] table with its backbones, such as slice_backbone");
  auto section = document.section("model");
  if (!section) return;
  const ModelTables tables = model_tables(document.node(), scope.catalogue);
  for (const auto& member : tables.named) {
    if (!is_name(member.key))
      section->error(member.key, "the name of model '" + member.key + "' must consist of letters, digits, '-' and '_'");
    Section one(member.node, member.blame(), section->path(member.key), scope.diagnostics);
    experiment.models.push_back(read_model(one, scope));
    experiment.models.back().name = member.key;
  }
  if (tables.has_own() || tables.named.empty()) {
    Section own(tables.own, section->place(), section->path(), scope.diagnostics);
    experiment.model = read_model(own, scope);
  } else if (experiment.models.size() == 1) {
    experiment.model = experiment.models.front();
  }
}

std::map<std::string, ModelSpec> read_stage_models(Section& document, std::vector<Section>& stages,
                                                   const Experiment& experiment, Scope& scope) {
  return StageModels(document, stages, experiment, scope).run();
}

std::optional<ModelSpec> read_row_model(Section& row, Section& document, const Experiment& experiment, Scope& scope) {
  const Member* own = row.take("model");
  if (!own) return std::nullopt;
  if (own->node.text()) {
    const ModelSpec* found = named(*own->node.text(), experiment, own->node.place, scope);
    return found ? std::optional(*found) : std::nullopt;
  }
  if (!own->node.table()) {
    row.must_be("model", "the name of a [model.NAME], or a table such as {slice_backbone = {name = \"resnet\"}}");
    return std::nullopt;
  }
  const ModelTables tables = model_tables(document.node(), scope.catalogue);
  const Node merged = differing(own->node, tables.usual());
  Section section(merged, own->blame(), row.path("model"), scope.diagnostics);
  return read_model(section, scope);
}

std::optional<int64_t> frames_of(const ModelSpec& model) {
  const auto& values = model.composition.options.values();
  const auto found = values.find("frames");
  const auto* frames = found == values.end() ? nullptr : std::get_if<int64_t>(&found->second);
  return frames ? std::optional(*frames) : std::nullopt;
}

std::string lacks(const ModelSpec& model, SampleKind kind, const plugin::Catalogue& catalogue) {
  const auto& known = catalogue.all(Kind::model);
  const auto info = known.find(model.composition.name);
  if (info == known.end() || info->second.roles.empty()) return "";
  std::vector<std::string> fitting;
  for (const auto& role : info->second.roles) {
    const bool takes = std::ranges::any_of(role.inputs, [&](Input input) {
      return kind == SampleKind::slice ? input == Input::image : input != Input::image;
    });
    if (takes && (role.required || model.backbone(role.name))) return "";  // a required one is noted elsewhere
    if (takes) fitting.push_back(role.name);
  }
  const std::string table = model.name.empty() ? "[model]" : "[model." + model.name + "]";
  if (fitting.empty()) return table + " is '" + info->first + "', which takes none";
  return table + " needs a " + base::joined(fitting, " or ");
}

const PluginUse* ModelSpec::backbone(const std::string& role) const {
  const auto found = backbones.find(role);
  return found == backbones.end() ? nullptr : &found->second;
}

}  // namespace ivory::config
