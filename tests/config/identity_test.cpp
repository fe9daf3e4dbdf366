// What an experiment's identities depend on, and that the resolved file says the same as its source.
#include <nlohmann/json.hpp>

#include "config/fixture.h"

namespace ivory::config::test {
namespace {

using nlohmann::json;

json identities(const Experiment& experiment) {
  json all = {{"model", identity(experiment.model)},
              {"data", json::array()},
              {"stages", json::array()},
              {"tasks", json::array()}};
  for (const auto& spec : experiment.data) all["data"].push_back(identity(spec));
  for (const auto& spec : experiment.stages) all["stages"].push_back(identity(spec));
  for (const auto& spec : experiment.tasks) all["tasks"].push_back(identity(spec));
  return all;
}
json identities(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return identities(parse_one(text, overrides));
}

TEST(ConfigIdentity, KeyOrderCommentsAndNotesChangeNothing) {
  std::string other = replaced(complete(), "epochs = 2\nbatch_size = 16", "# a comment\nbatch_size = 16\nepochs=2");
  other = replaced(other, "weight = 0.5, prototypes = 30", "prototypes = 30, weight = 0.50");
  other = replaced(other, "warmup_epochs = 1", "warmup_epochs = 1.0");
  other = replaced(other, "dice = 2", "dice = 2.0");
  EXPECT_EQ(identities(other), identities(complete()));
}

TEST(ConfigIdentity, MachineSettingsAndLabelsChangeNothing) {
  const std::vector<std::string> settings = {
      "stage.slices.workers=3",
      "stage.slices.views.on=device",
      "stage.slices.prefetch_mib=7",
      "stage.slices.checkpoint_every=5",
      "stage.slices.keep_last=9",
      "task.organs.workers=0",
      "experiment.note=hello",
      "experiment.output=elsewhere",
      "experiment.name=other",
      "data.head.hint=buy it",
      "data.head.cache=/fast/disk",
      "table.caption=Table 1",
      "experiment.threads=2",
      "stage.slices.probes=[{task = \"organs\", every = 2}]",
      "stage.volumes.name=renamed",
      "task.organs.from=[\"scratch\"]",
      "task.organs.splits.allow_shared_patients=true",
  };
  for (const auto& setting : settings) {
    if (setting.starts_with("stage.volumes.name")) {
      const std::vector<std::string> both = {setting, "task.organs.from=[\"renamed\"]"};
      EXPECT_EQ(identities(complete(), both), identities(complete())) << setting;
    } else {
      EXPECT_EQ(identities(complete(), {setting}), identities(complete())) << setting;
    }
  }
}

TEST(ConfigIdentity, AChangedValueChangesItsPartAlone) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"data.head.window=[0, 201]", "data"},
      {"data.head.spacing=[1, 1, 1]", "data"},
      {"data.head.max_size=128", "data"},
      {"data.head.modality=ct", "data"},
      {"data.head.volumes.ch2.label=other.nii.gz", "data"},
      {"data.head.volumes.ch2.patient=p9", "data"},
      {"model.slice_backbone.depth=34", "model"},
      {"model.volume_backbone.dropout=0.2", "model"},
      {"model.levels=last", "model"},
      {"model.token_width=32", "model"},
      {"model.weights=w.pt", "model"},
      {"stage.slices.objectives.swav.weight=2", "stages"},
      {"stage.slices.objectives.swav.temperature=0.2", "stages"},
      {"stage.slices.views.slice.crops.0.size=48", "stages"},
      {"stage.slices.views.slice.blur=0.1", "stages"},
      {"stage.slices.views.slice.gamma=0", "stages"},
      {"stage.slices.views.slice.crops.0.blur=1", "stages"},
      {"stage.slices.views.slice.crops.0.solarise=0.2", "stages"},
      {"stage.volumes.views.volume.gamma=0.1", "stages"},
      {"stage.slices.views.slice.blur_sigma=[0.1, 3]", "stages"},
      {"stage.volumes.views.volume.anisotropy_factor=[1.5, 3]", "stages"},
      {"stage.volumes.views.volume.blur_sigma=[0.3, 1]", "stages"},
      {"stage.volumes.views.volume.gamma_range=[0.8, 1.5]", "stages"},
      {"stage.volumes.views.volume.noise_deviation=0.2", "stages"},
      {"stage.volumes.views.volume.bias_strength=0.2", "stages"},
      {"stage.slices.volume_batch_size=2", "stages"},
      {"stage.slices.epochs=3", "stages"},
      {"stage.volumes.steps=21", "stages"},
      {"stage.slices.batch_size=32", "stages"},
      {"stage.slices.accumulate=4", "stages"},
      {"stage.slices.clip_norm=2", "stages"},
      {"stage.slices.clip_each=true", "stages"},
      {"stage.slices.frozen=[{names = [\"*\"]}]", "stages"},
      {"stage.slices.optimiser.groups=[{names = [\"*.bias\"], lr_factor = 0.1}]", "stages"},
      {"stage.slices.optimiser.final_weight_decay=0.1", "stages"},
      {"stage.slices.optimiser.decay_vectors=false", "stages"},
      {"stage.slices.optimiser.nesterov=true", "stages"},
      {"stage.slices.schedule.whole_course=true", "stages"},
      {"stage.slices.precision=bf16", "stages"},
      {"stage.slices.channels_last=false", "stages"},
      {"stage.slices.optimiser.lr=0.21", "stages"},
      {"stage.slices.optimiser.momentum=0.8", "stages"},
      {"stage.volumes.optimiser.betas=[0.9, 0.96]", "stages"},
      {"stage.slices.schedule.warmup_epochs=2", "stages"},
      {"stage.slices.schedule.name=constant", "stages"},
      {"task.organs.plugin.dice=3", "tasks"},
      {"task.organs.classes.left.labels=[36]", "tasks"},
      {"task.organs.splits.train=[\"ch2:0-58\"]", "tasks"},
      {"task.organs.splits={train = 0.5}", "tasks"},
      {"task.organs.splits={train = 0.5, redraw = true}", "tasks"},
      {"task.organs.size=64", "tasks"},
      {"task.organs.evaluate_every=2", "tasks"},
      {"task.organs.augment=false", "tasks"},
      {"task.organs.optimiser.weight_decay=0.5", "tasks"},
  };
  const json before = identities(complete());
  for (const auto& [setting, part] : cases) {
    const json after = identities(complete(), {setting});
    for (const auto& [key, value] : before.items()) {
      EXPECT_EQ(after[key] == value, key != part) << setting << " and " << key;
    }
  }
}

TEST(ConfigIdentity, GeneratedDataDependOnTheirRecipeAlone) {
  const std::string text = "[data.a]\nlayout = \"phantom\"\n";
  EXPECT_EQ(identities(text, {"data.a.path=/ignored"}), identities(text));
  EXPECT_NE(identities(text, {"data.a.phantom.seed=2"}), identities(text));
  EXPECT_NE(identities(text, {"data.a.phantom.labels=[1]"}), identities(text));
  EXPECT_NE(identities(text, {"data.a.phantom.size=[8, 8, 8]"}), identities(text));
  EXPECT_EQ(identities(complete(), {"data.head.phantom={seed = 5}"}), identities(complete()));
}

TEST(ConfigIdentity, ThePluginsCacheVersionIsPartOfIt) {
  auto catalogue = make_catalogue();
  auto raised = objective("raised", {SampleKind::slice});
  catalogue.add(plugin::Kind::objective, raised);
  TestCatalogue later = make_catalogue();
  raised.cache_version = 2;
  later.add(plugin::Kind::objective, raised);
  const std::string text = replaced(complete(), "name = \"swav\"", "name = \"raised\"");
  const auto before = parse_experiments(text, "x.toml", {}, catalogue),
             after = parse_experiments(text, "x.toml", {}, later);
  EXPECT_NE(identity(before[0].stages[0]), identity(after[0].stages[0]));
  EXPECT_EQ(identity(before[0].stages[1]), identity(after[0].stages[1]));
}

void expect_round_trip(const Experiment& experiment) {
  const std::string text = to_toml(experiment);
  auto catalogue = make_catalogue();
  const auto again = parse_experiments(text, "/another/folder/resolved.toml", {}, catalogue);
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(identities(again[0]), identities(experiment)) << text;
  EXPECT_EQ(to_toml(again[0]), replaced(text, text.substr(0, text.find("plugins")), "")) << "a fixed point";
}

TEST(ConfigResolved, LoadsToTheSameValues) {
  expect_round_trip(parse_one(complete()));
  expect_round_trip(parse_one(complete(), {"data.source=phantom", "data.head.phantom.labels=[37, 38, 39]"}));
  expect_round_trip(
      parse_one(complete(), {"task.organs.splits={train = 0.5, validation = 0.1, seed = 3, redraw = true}",
                             "stage.slices.schedule={name = \"constant\"}", "model.weights=w.pt"}));
  const Experiment shared = parse_one(complete(), {"task.organs.splits.allow_shared_patients=true"});
  expect_round_trip(shared);
  EXPECT_TRUE(parse_one(to_toml(shared)).tasks[0].splits.allow_shared_patients);
  const Experiment half =
      parse_one(complete(), {"stage.slices.precision=bf16", "stage.slices.views={on = \"device\", output = \"bf16\"}",
                             "stage.volumes.views.volume={gamma_range = [0.9, 1.1], anisotropy_factor = [2, 3]}"});
  expect_round_trip(half);
  EXPECT_EQ(parse_one(to_toml(half)).stage("slices").views_on, "device");
  EXPECT_EQ(parse_one(to_toml(half)).stage("slices").views_output, "bf16");
  EXPECT_EQ(parse_one(to_toml(half)).stage("volumes").volume_views.gamma_range, (std::array<double, 2>{0.9, 1.1}));
  EXPECT_NE(identities(complete(), {"stage.slices.precision=bf16"}),
            identities(complete(), {"stage.slices.precision=bf16", "stage.slices.views.output=bf16"}));
  expect_round_trip(parse_one("[data.a]\npath = \"/d\"\n"));
  expect_round_trip(parse(complete() + "[sweep]\nparameters = {\"experiment.note\" = [\"two\\nlines\"]}").at(0));
}

TEST(ConfigResolved, KeepsTextsAsTheyAre) {
  const Experiment experiment = parse_one(complete(), {R"(experiment.note="quote \" backslash \\ tab \t ümlaut )"
                                                       R"($$$${HOME} line\nend \u0001")"});
  EXPECT_EQ(experiment.note, "quote \" backslash \\ tab \t ümlaut $$${HOME} line\nend \x01");
  EXPECT_EQ(parse_one(to_toml(experiment)).note, experiment.note);
}

TEST(ConfigResolved, IsComplete) {
  const std::string text = to_toml(parse_one(complete()));
  for (const char* key :
       {"trust = 0.001", "checkpoint_every = 1", "bias_field = 0.5", "dropout = 0.1", "heads = [4, 4]",
        "weight_decay = 1e-06", "prefetch_mib = 256", "patient = \"ch2\"", "evaluate_every = 1"}) {
    EXPECT_THAT(text, testing::HasSubstr(key));
  }
}

}  // namespace
}  // namespace ivory::config::test
