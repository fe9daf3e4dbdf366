#include <algorithm>

#include "config/sections.h"
#include "config/tree.h"

namespace ivory::config {
namespace {

class StageModels {
 public:
  StageModels(Section& document, std::vector<Section>& stages, Scope& scope)
      : base_(document.node().find("model")), stages_(stages), scope_(scope) {}

  std::map<std::string, ModelSpec> run() {
    for (auto& stage : stages_) read(stage);
    std::map<std::string, ModelSpec> models;
    for (auto& stage : stages_) {
      const std::string name = name_of(stage.node());
      if (const std::string owner = owner_of(name); specs_.count(owner)) models[name] = specs_.at(owner);
    }
    return models;
  }

 private:
  void read(Section& stage) {
    const Member* own = stage.take("model");
    if (!own) return;
    if (!own->node.table()) return stage.must_be("model", "a table of what differs from [model]");
    const std::string name = name_of(stage.node());
    if (named(name) != &stage) return;  // without a name, or with one that is taken, which is told elsewhere
    const Node merged = node_of(name);
    Section section(merged, own->blame(), stage.path("model"), scope_.diagnostics);
    specs_[name] = read_model_section(section, scope_);
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
      if (const Member* own = stage->node().find("model"); own && own->node.table()) return name;
      name = from(*stage);
    }
    return "";
  }

  // The table of the owner, over those before it and [model].
  Node node_of(const std::string& owner, size_t depth = 0) {
    const Section& stage = *named(owner);
    Node merged = stage.node().find("model")->node;
    const std::string before = depth < stages_.size() ? owner_of(from(stage)) : "";
    if (!before.empty()) {
      inherit(merged, node_of(before, depth + 1));
    } else if (base_) {
      inherit(merged, base_->node);
    }
    return merged;
  }

  const Member* base_;
  std::vector<Section>& stages_;
  Scope& scope_;
  std::map<std::string, ModelSpec> specs_;  // of the stages that have a `model` of their own
};

}  // namespace

std::map<std::string, ModelSpec> read_stage_models(Section& document, std::vector<Section>& stages, Scope& scope) {
  return StageModels(document, stages, scope).run();
}

}  // namespace ivory::config
