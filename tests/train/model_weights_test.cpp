// Weights into a whole model, and into what a task has beside it: what does not fit is refused or said, part by part.
#include "train/model_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/cache_fixtures.h"
#include "plugins/task_stubs.h"
#include "support/errors.h"
#include "support/log.h"
#include "support/plugins.h"

namespace ivory::train {
namespace {

TEST(ModelWeights, APartOfAnotherShapeIsRefusedUnlessItMayStayFresh) {
  const data::testing::TemporaryFolder folder;
  std::filesystem::create_directories(folder.path());
  torch::manual_seed(1);
  const auto saved = test::small_model(8, 16, torch::kFloat), same = test::small_model(8, 16, torch::kFloat),
             wider = test::small_model(8, 32, torch::kFloat);
  const auto file = export_weights(*saved, folder.path(), "x").path;
  load_weights(*same, file, "stage s", 0.95);
  for (const auto& parameter : saved->named_parameters()) {
    EXPECT_TRUE(torch::equal(parameter.value(), same->named_parameters()[parameter.key()])) << parameter.key();
  }

  EXPECT_THAT(test::bad_request_of([&] { load_weights(*wider, file, "stage s", 0.95); }),
              testing::AllOf(testing::HasSubstr("stage s: "), testing::HasSubstr("into the projection: "),
                             testing::HasSubstr("do not fit")));
  const auto fresh = wider->projection->weight.clone();
  load_weights(*wider, file, "stage s", 0);
  EXPECT_TRUE(torch::equal(wider->projection->weight, fresh));
  EXPECT_TRUE(torch::equal(wider->intra->parameters()[0], saved->intra->parameters()[0]));
}

// A file of segmentation_models_pytorch's U-Net, as a training framework wraps it.
class UNetFile : public testing::Test {
 protected:
  static constexpr const char* wrapped = "state_dict.model.";

  UNetFile() { std::filesystem::create_directories(folder_.path()); }

  static std::shared_ptr<ImageVolumeModel> fresh_model() {
    return std::make_shared<ImageVolumeModel>(std::make_shared<test::TinyImage>(), nullptr, LevelUse::all, 16, 4);
  }
  static std::shared_ptr<Task> task_on(const std::shared_ptr<Model>& model, size_t classes,
                                       const std::vector<int64_t>& widths = {16, 8, 8, 4, 4}) {
    return test::make<Task>("segmentation", {{"decoder_channels", widths}},
                            {.model = model,
                             .classes = std::vector<std::string>(classes, "organ"),
                             .volume_names = {},
                             .size = {1, 32, 32}});
  }
  // Writes the task's state under foreign names and loads it into another task with a model of its own.
  std::string load_into(Task& other, const std::shared_ptr<Model>& model, const NamedTensors& state) {
    const auto file = folder_.path() / "unet.safetensors";
    NamedTensors tensors;
    for (const auto& [name, tensor] : state) tensors.emplace_back(wrapped + name, tensor);
    save_safetensors(file, {tensors, {}});
    const test::Log log;
    load_task_parts(other, *model, load_weights(*model, file, "task t", 0.95));
    return log.text();
  }

  const data::testing::TemporaryFolder folder_;
};

std::map<std::string, torch::Tensor> copies(const torch::nn::Module& module) {
  std::map<std::string, torch::Tensor> result;
  for (const auto& [name, tensor] : state_of(module)) result[name] = tensor.detach().clone();
  return result;
}

TEST_F(UNetFile, FillsDecoderAndHeadToo) {
  torch::manual_seed(1);
  const auto saved = task_on(fresh_model(), 2);
  for (auto& buffer : saved->buffers()) buffer.add_(1);
  const auto model = fresh_model();
  const auto loaded = task_on(model, 2);
  const std::string log = load_into(*loaded, model, state_of(*saved));
  const auto expected = copies(*saved), got = copies(*loaded);
  for (const auto& [name, tensor] : expected) EXPECT_TRUE(torch::equal(got.at(name), tensor)) << name;
  EXPECT_THAT(log, testing::AllOf(testing::HasSubstr("into f_intra: below 'state_dict.model.encoder.': 10 tensors"),
                                  testing::HasSubstr("into decoder: below 'state_dict.model.decoder.': 60 tensors "
                                                     "matched, 100.0 % of the parameters"),
                                  testing::HasSubstr("into segmentation_head: ")));
}

TEST_F(UNetFile, AHeadOfOtherClassesStaysFreshAndIsNamed) {
  torch::manual_seed(1);
  const auto saved = task_on(fresh_model(), 2);
  const auto model = fresh_model();
  const auto loaded = task_on(model, 3);
  const auto fresh = copies(*loaded);
  const std::string log = load_into(*loaded, model, state_of(*saved));
  const auto expected = copies(*saved), got = copies(*loaded);
  for (const auto& [name, tensor] : got) {
    const bool head = name.starts_with("segmentation_head.");
    EXPECT_TRUE(torch::equal(tensor, (head ? fresh : expected).at(name))) << name;
  }
  EXPECT_THAT(log, testing::HasSubstr("0 tensors matched, 0.0 % of the parameters, 2 of another shape (e.g. 0.weight: "
                                      "[3, 4, 3, 3] for [4, 4, 3, 3])"));
}

TEST_F(UNetFile, AnotherDecoderIsReportedTensorByTensor) {
  torch::manual_seed(1);
  auto state = state_of(*task_on(fresh_model(), 2, {16, 8, 8, 8, 4}));
  const std::string gone = "decoder.blocks.0.conv1.0.weight";
  std::erase_if(state, [&](const auto& item) { return item.first == gone; });
  state.emplace_back("decoder.center.0.weight", torch::zeros({2}));
  const auto model = fresh_model();
  const auto loaded = task_on(model, 2);
  const auto fresh = copies(*loaded);
  const std::string log = load_into(*loaded, model, state);
  EXPECT_TRUE(torch::equal(copies(*loaded).at(gone), fresh.at(gone)));
  EXPECT_THAT(log,
              testing::AllOf(testing::HasSubstr("1 missing (e.g. blocks.0.conv1.0.weight)"),
                             testing::HasSubstr("1 unexpected (e.g. center.0.weight)"),
                             testing::HasSubstr("of another shape (e.g. blocks.3.conv1.0.weight: [8, 12, 3, 3] for "
                                                "[4, 12, 3, 3])")));
}

TEST_F(UNetFile, AnEncoderWithoutTheRestIsSaidToBeAlone) {
  torch::manual_seed(1);
  auto state = state_of(*task_on(fresh_model(), 2));
  std::erase_if(state, [](const auto& item) { return !item.first.starts_with("encoder."); });
  const auto model = fresh_model();
  const std::string log = load_into(*task_on(model, 2), model, state);
  for (const char* part : {"into the projection: ", "into decoder: ", "into segmentation_head: "}) {
    EXPECT_THAT(log, testing::HasSubstr(part + std::string("the file has none, it begins fresh")));
  }
}

TEST_F(UNetFile, ThatRunningStatisticsAreLostIsSaid) {
  torch::manual_seed(1);
  auto state = state_of(*task_on(fresh_model(), 2));
  std::erase_if(state, [](const auto& item) {
    return item.first.starts_with("decoder.") && item.first.find("running_") != std::string::npos;
  });
  const auto model = fresh_model();
  EXPECT_THAT(load_into(*task_on(model, 2), model, state),
              testing::HasSubstr("100.0 % of the parameters, 20 missing (e.g. blocks.0.conv1.1.running_mean); 10 batch "
                                 "normalisations keep the running statistics of a fresh network"));
}

TEST_F(UNetFile, ADecoderThatIsNotANumberIsRefused) {
  torch::manual_seed(1);
  const auto saved = task_on(fresh_model(), 2);
  saved->named_parameters()["decoder.blocks.1.conv2.1.bias"].data().fill_(std::nan(""));
  const auto model = fresh_model();
  const auto loaded = task_on(model, 2);
  EXPECT_THAT(test::bad_request_of([&] { load_into(*loaded, model, state_of(*saved)); }),
              testing::HasSubstr("into decoder: tensor 'state_dict.model.decoder.blocks.1.conv2.1.bias' holds NaN"));
}

TEST_F(UNetFile, AWholeModelsFileLeavesTheTasksPartsFresh) {
  torch::manual_seed(1);
  const auto saved = fresh_model(), model = fresh_model();
  const auto loaded = task_on(model, 2);
  const auto fresh = copies(*loaded);
  const auto file = export_weights(*saved, folder_.path(), "x").path;
  const test::Log log;
  load_task_parts(*loaded, *model, load_weights(*model, file, "task t", 0.95));
  for (const char* part : {"into decoder: ", "into segmentation_head: "}) {
    EXPECT_THAT(log.text(), testing::HasSubstr(part + std::string("the file has none, it begins fresh")));
  }
  for (const auto& [name, tensor] : copies(*loaded)) {
    if (name.starts_with("encoder.")) continue;
    EXPECT_TRUE(torch::equal(tensor, fresh.at(name))) << name;
  }
  EXPECT_TRUE(torch::equal(loaded->named_parameters()["encoder.conv0.weight"], saved->intra->parameters()[0]));
}

}  // namespace
}  // namespace ivory::train
