// Compositions, several models in one file, and who uses which.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "config/fixture.h"

namespace ivory::config::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const char* const own = R"([model]
slice_backbone = {name = "resnet", depth = 18}
volume_backbone = {name = "deformable-transformer", axis = "slice"}
token_width = 64
frames = 16
)";

// The complete experiment with two models in place of its one: "joint" for its stages, "deep" for a stage of its own.
std::string several() {
  std::string text = replaced(complete(), own, R"([model.joint]
slice_backbone = {name = "resnet", depth = 18}
volume_backbone = {name = "deformable-transformer", axis = "slice"}
token_width = 64
frames = 16
[model.deep]
name = "encoder"
encoder = {name = "resnet", depth = 34}
weights = "w.pt"
)");
  text = replaced(text, "data = [\"head\"]\nobjectives = [{name = \"swav\"",
                  "model = \"joint\"\ndata = [\"head\"]\nobjectives = [{name = \"swav\"");
  text = replaced(text, "[\"volumes\", \"scratch\"]", "[\"volumes\", \"deep\", \"scratch:deep\", \"weights:deep\"]");
  return replaced(text, "[[task]]", R"([[stage]]
name = "deep"
model = "deep"
data = ["head"]
objectives = [{name = "masked"}]

[[task]])");
}

TEST(ConfigModels, AModelIsACompositionWithBackbonesInItsRoles) {
  const ModelSpec usual = parse_one(complete()).model;
  EXPECT_EQ(usual.composition.name, "image-volume") << "the default";
  EXPECT_EQ(option<int64_t>(usual, "token_width"), 64);
  EXPECT_EQ(usual.backbones.size(), 2u);
  const Experiment encoder = parse_one("[model]\nname = \"encoder\"\nencoder = {name = \"resnet\"}\n");
  EXPECT_EQ(encoder.model.composition.name, "encoder");
  EXPECT_EQ(encoder.model.backbone("encoder")->name, "resnet");
  EXPECT_EQ(encoder.model.backbone("decoder"), nullptr);
  EXPECT_EQ(option<int64_t>(parse_one("[model]\nname = \"v-net\"\nwidth = 8\n").model, "width"), 8);
}

TEST(ConfigModels, WhatACompositionDoesNotHaveIsNamed) {
  const auto of = [](const std::string& keys) { return mistakes("[model]\n" + keys); };
  EXPECT_THAT(of("name = \"encoder\"\nencoder = {name = \"resnet\"}\ndecoder = {name = \"resnet\"}\n"),
              ElementsAre(AllOf(HasSubstr("x.toml:4:1: "), HasSubstr("has no 'decoder'"), HasSubstr("'encoder'"))));
  EXPECT_THAT(of("name = \"encoder\"\n"), ElementsAre(AllOf(HasSubstr("x.toml:1:2: "), HasSubstr("needs 'encoder'"))));
  EXPECT_THAT(of("name = \"encoder\"\nencoder = {name = \"resnat\"}\n"), ElementsAre(HasSubstr("'resnet'")));
  EXPECT_THAT(of("name = \"encodr\"\nencoder = {name = \"resnet\"}\n"),
              ElementsAre(AllOf(HasSubstr("x.toml:2:1: unknown model 'encodr'"), HasSubstr("'encoder'"))));
  EXPECT_THAT(of("name = \"v-net\"\nwidth = 0\n"), ElementsAre(HasSubstr("'model.width'")));
  EXPECT_THAT(of("name = \"v-net\"\nencoder = {name = \"resnet\"}\n"), ElementsAre(HasSubstr("takes no backbones")));
  EXPECT_THAT(of("slice_bakbone = {name = \"resnet\"}\nframes = 8\n"),
              Contains(AllOf(HasSubstr("x.toml:2:1: "), HasSubstr("did you mean 'slice_backbone'?"))));
  EXPECT_THAT(of("slice_backbone = {name = \"resnet\"}\nframs = 8\n"), ElementsAre(HasSubstr("'frames'")));
}

TEST(ConfigModels, SeveralLiveInOneFile) {
  const Experiment experiment = parse_one(several());
  EXPECT_THAT(experiment.models, testing::SizeIs(2));
  EXPECT_EQ(experiment.model.composition.name, "") << "none of them is used where none is named";
  EXPECT_EQ(experiment.model_of("slices").name, "joint");
  EXPECT_EQ(experiment.model_of("volumes").name, "joint") << "that of the stage it begins from";
  EXPECT_EQ(experiment.model_of("deep").composition.name, "encoder");
  EXPECT_EQ(experiment.model_of("scratch:deep").name, "deep");
  EXPECT_EQ(experiment.model_of("weights:deep").name, "deep");
  EXPECT_EQ(experiment.stage("volumes").volume_views.size[0], 16);
  EXPECT_EQ(experiment.stage("deep").volume_views.size[0], 64) << "an encoder has no frames of its own";
  const Experiment again = parse_one(to_toml(experiment));
  EXPECT_EQ(to_toml(again), to_toml(experiment));
  EXPECT_EQ(identity(again.model_of("deep")), identity(experiment.model_of("deep")));
}

TEST(ConfigModels, TheOnlyOneIsUsedWhereNoneIsNamed) {
  const std::string text = replaced(complete(), "[model]", "[model.joint]");
  const Experiment experiment = parse_one(text);
  EXPECT_EQ(experiment.model.name, "joint");
  EXPECT_EQ(identity(experiment.model_of("scratch")), identity(parse_one(complete()).model)) << "names are labels";
  EXPECT_THAT(mistakes(replaced(text, "\"scratch\"", "\"scratch:joint\"")), IsEmpty());
  EXPECT_EQ(to_toml(parse_one(to_toml(experiment))), to_toml(experiment));
}

TEST(ConfigModels, OneMayBeNamedBesideTheUsualOne) {
  const std::string text = replaced(complete(), "[[stage]]", R"([model.deep]
name = "encoder"
encoder = {name = "resnet"}

[[stage]])");
  const Experiment experiment = parse_one(replaced(text, "\"scratch\"", "\"scratch\", \"scratch:deep\""));
  EXPECT_EQ(experiment.model_of("scratch").composition.name, "image-volume");
  EXPECT_EQ(experiment.model_of("scratch:deep").composition.name, "encoder");
  EXPECT_EQ(to_toml(parse_one(to_toml(experiment))), to_toml(experiment));
}

TEST(ConfigModels, NamesThatNoModelHasComeWithTheNearest) {
  EXPECT_THAT(mistakes(replaced(several(), "model = \"deep\"", "model = \"depe\"")),
              ElementsAre(AllOf(HasSubstr("unknown model 'depe'"), HasSubstr("did you mean 'deep'?"))));
  EXPECT_THAT(mistakes(replaced(several(), "\"scratch:deep\"", "\"scratch:depe\"")),
              ElementsAre(HasSubstr("did you mean 'scratch:deep'?")));
  EXPECT_THAT(mistakes(replaced(several(), "\"weights:deep\"", "\"weights:joint\"")), ElementsAre(HasSubstr("weights")))
      << "it has no weights";
  EXPECT_THAT(mistakes(replaced(several(), "\"scratch:deep\"", "\"scratch\"")),
              ElementsAre(AllOf(HasSubstr("joint, deep"), HasSubstr("scratch:NAME"))));
  EXPECT_THAT(mistakes(replaced(several(), "model = \"joint\"\n", "")),
              ElementsAre(AllOf(HasSubstr("'stage.slices' needs 'model'"), HasSubstr("joint, deep")),
                          AllOf(HasSubstr("'stage.volumes' needs 'model'"))));
  EXPECT_THAT(mistakes(replaced(complete(), "from = \"slices\"", "from = \"slices\"\nmodel = \"joint\"")),
              ElementsAre(HasSubstr("unknown model 'joint'; there is none")));
  EXPECT_THAT(mistakes(replaced(several(), "model = \"deep\"", "model = 3")), Contains(HasSubstr("[model.NAME]")));
  EXPECT_THAT(mistakes(several() + "[table]\nrows = [{from = \"scratch:dep\"}]\n"),
              ElementsAre(HasSubstr("did you mean 'scratch:deep'?")));
}

TEST(ConfigModels, SettingsReachEachOfThem) {
  const Experiment experiment = parse_one(several(), {"model.deep.encoder.depth=50", "model.*.min_match=0.5"});
  EXPECT_EQ(experiment.model_of("deep").backbone("encoder")->options.get<int64_t>("depth"), 50);
  EXPECT_EQ(experiment.model_of("slices").min_match, 0.5);
}

TEST(ConfigModels, AnotherCompositionInheritsNothing) {
  const std::string text = replaced(complete(), "from = \"slices\"\n",
                                    "model = {name = \"encoder\", encoder = {name = \"resnet\", depth = 34}}\n");
  const Experiment experiment = parse_one(text);
  EXPECT_EQ(experiment.model_of("volumes").backbones.size(), 1u);
  EXPECT_EQ(to_toml(parse_one(to_toml(experiment))), to_toml(experiment));
  EXPECT_THAT(mistakes(replaced(several(), "model = \"deep\"", "model = {encoder = {name = \"resnet\"}}")),
              Contains(HasSubstr("'encoder'")))
      << "without a model to differ from it stands by itself, and is 'image-volume'";
}

TEST(ConfigModels, RowsOfATableOfParametersNameThem) {
  const std::string text = several() + R"([table]
kind = "parameters"
rows = [{label = "a", model = "deep"}, {label = "b", model = "joint"}]
)";
  const Experiment experiment = parse_one(text);
  EXPECT_EQ(experiment.table.rows[0].model->name, "deep");
  EXPECT_EQ(to_toml(parse_one(to_toml(experiment))), to_toml(experiment));
  EXPECT_THAT(mistakes(replaced(text, "\"a\", model = \"deep\"", "\"a\", model = \"deap\"")),
              ElementsAre(HasSubstr("did you mean 'deep'?")));
}

TEST(ConfigModels, IdentitiesOfImageVolumeAreWhatTheyWere) {
  EXPECT_EQ(
      identity(parse_one(complete()).model).dump(),
      R"({"frames":16,"levels":"all","slice_backbone":{"cache_version":1,"name":"resnet","options":{"depth":18}},)"
      R"("token_width":64,"volume_backbone":{"cache_version":1,"name":"deformable-transformer",)"
      R"("options":{"axis":"slice","dropout":0.1}},"weights":""})");
  const auto without = parse_one("[model]\nslice_backbone = {name = \"resnet\"}\n").model;
  EXPECT_TRUE(identity(without).at("volume_backbone").is_null());
  EXPECT_NE(identity(parse_one(several()).model_of("deep")), identity(without));
}

}  // namespace
}  // namespace ivory::config::test
