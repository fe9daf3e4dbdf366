// ivory features, through the program: of every kind of input, with the weights of a trained stage, against the same
// model run here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "config/experiment.h"
#include "eval/png.h"
#include "ingest/dicom_files.h"
#include "plugin/registry.h"
#include "support/command.h"
#include "support/paths.h"
#include "support/python.h"
#include "support/quiet.h"
#include "train/model_weights.h"
#include "train/trainer.h"
#include "weights/npy.h"
#include "weights/safetensors.h"

namespace ivory::tools {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using train::NamedTensors;

const char* const experiment = R"toml([experiment]
name = "small"
[data.scans]
layout = "list"
volumes = [{ name = "a", image = "a.nii" }, { name = "b", image = "b.nii" }]
[model]
slice_backbone = { name = "resnet", depth = 18 }
volume_backbone = { name = "deformable-transformer", layers = 1, heads = 2, groups = 2, ffn = 16, downsampling = 2, kernel = 4 }
token_width = 16
frames = 4
[[stage]]
name = "slices"
data = ["scans"]
objectives = [{ name = "swav", prototypes = 4, head_width = 8, embedding_width = 4 }]
steps = 1
batch_size = 4
[stage.views.slice]
crops = [{ count = 2, size = 32, scale = [0.4, 1.0] }]
[[stage]]
name = "later"
from = "slices"
data = ["scans"]
objectives = [{ name = "swav", prototypes = 4, head_width = 8, embedding_width = 4 }]
steps = 1
batch_size = 4
[stage.views.slice]
crops = [{ count = 2, size = 32, scale = [0.4, 1.0] }]
)toml";

using test::Answer;

class FeaturesProgram : public testing::Test {
 protected:
  // One training run for all tests.
  static void SetUpTestSuite() {
    folder_ = new data::testing::TemporaryFolder;
    torch::manual_seed(4);
    for (const char* name : {"a", "b"}) {
      const auto voxels = torch::randint(-200, 800, {6, 40, 36}, torch::kInt16);
      ingest::testing::write_nifti(folder_->path() / (std::string(name) + ".nii"), voxels);
    }
    std::ofstream(folder_->path() / "x.toml") << experiment;
    const Answer trained = run("run-experiment x.toml");
    ASSERT_EQ(trained.code, 0) << trained.text;
    fs::remove_all(stage_folder("later"));
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }

  static Answer run(const std::string& command) {
    const std::string folder = folder_->path().string();
    const std::string line = "cd '" + folder + "' && export PATH='" + test::build_dir() + "/bin':$PATH IVORY_CACHE='" +
                             folder + "/caches' OMP_NUM_THREADS=1 && " + command + " 2>&1";
    return test::answer_of(line);
  }
  static fs::path stage_folder(const std::string& name) {
    for (const auto& entry : fs::directory_iterator(folder_->path() / "runs" / "store")) {
      if (entry.path().filename().string().starts_with("stage-" + name + "-")) return entry.path();
    }
    return {};
  }
  static std::map<std::string, torch::Tensor> features(const std::string& arguments) {
    const Answer answer = run("ivory features " + arguments + " --size 32");
    EXPECT_EQ(answer.code, 0) << arguments << "\n" << answer.text;
    if (answer.code != 0) return {};
    const auto file = train::load_safetensors(folder_->path() / "out.safetensors");
    return {file.tensors.begin(), file.tensors.end()};
  }
  static std::string refused(const std::string& arguments, int code = 2) {
    const Answer answer = run("ivory features " + arguments);
    EXPECT_EQ(answer.code, code) << arguments << "\n" << answer.text;
    return answer.text;
  }

  // The experiment's model with the stage's weights, in evaluation mode.
  static std::shared_ptr<Model> trained_model() {
    const test::Quiet quiet;
    plugin::Registry registry;
    registry.discover();
    const auto points = config::load_experiments(folder_->path() / "x.toml", {}, registry);
    auto model = train::build_model(points.front().model, registry, 99);
    train::load_weights(*model, stage_folder("slices") / "weights.safetensors", "test", 1);
    model->eval();
    return model;
  }
  // Both volumes as the task loader gives them without augmentation: [2, 1, F, 32, 32].
  static torch::Tensor volumes() {
    for (const auto& entry : fs::directory_iterator(folder_->path() / "caches")) {
      data::LabelledSamples samples{
          .unit = SampleKind::volume, .volumes = {0, 1}, .volume_labels = {0, 0}, .size = {4, 32, 32}};
      const auto loader = data::make_task_loader(data::testing::open_data_set(entry.path()), samples,
                                                 {.batch_size = 2, .shuffle = false, .drop_last = false});
      loader->start(0, 0);
      return loader->next()->images.pixels;
    }
    return {};
  }
  // 1e-5: sums of up to 4608 products in fp32, in another order where batches have another size.
  static void expect_close(const torch::Tensor& ours, const torch::Tensor& expected) {
    ASSERT_TRUE(ours.defined());
    ASSERT_EQ(ours.sizes(), expected.sizes());
    EXPECT_LT((ours - expected).abs().max().item<double>(), 1e-5 * expected.abs().max().item<double>());
  }

  static data::testing::TemporaryFolder* folder_;
};

data::testing::TemporaryFolder* FeaturesProgram::folder_ = nullptr;

TEST_F(FeaturesProgram, VolumesOfACacheWithTheWeightsOfAStage) {
  const torch::NoGradGuard no_grad;
  const auto expected = trained_model()->embed(volumes());
  auto tokens = features("scans out.safetensors --experiment x.toml --stage slices --kind tokens --batch 3");
  ASSERT_EQ(tokens.size(), 1u);
  expect_close(tokens["tokens"], expected.tokens);  // [2, 4, 16]
  const auto holistic = features("caches/scans-* out.safetensors --experiment x.toml --stage slices --kind holistic");
  expect_close(holistic.at("holistic"), expected.pooled);  // [2, 16]
}

TEST_F(FeaturesProgram, AVolumeFileIsWhatItIsInACache) {
  const std::string options = " out.safetensors --experiment x.toml --stage slices --kind ";
  for (const std::string kind : {"tokens", "pooled"}) {
    const auto of_cache = features("scans" + options + kind), of_file = features("b.nii" + options + kind);
    ASSERT_EQ(of_cache.size(), 1u);
    const auto& [name, whole] = *of_cache.begin();
    expect_close(of_file.at(name), whole.narrow(0, whole.size(0) / 2, whole.size(0) / 2));
  }
}

TEST_F(FeaturesProgram, SlicesOfAStageAreThoseOfItsBackbone) {
  const auto of_stage = features("a.nii out.safetensors --experiment x.toml --stage slices");
  const auto named = features("a.nii out.safetensors --backbone resnet --option depth=18 --weights '" +
                              (stage_folder("slices") / "weights.safetensors").string() + "' --batch 4");
  ASSERT_EQ(of_stage.size(), 6u) << "pooled, level0 … level4";
  for (const auto& [name, tensor] : of_stage) expect_close(named.at(name), tensor);
  EXPECT_EQ(of_stage.at("level4").sizes(), (std::vector<int64_t>{6, 512}));
  const auto maps = features("a.nii out.safetensors --experiment x.toml --stage slices --kind maps");
  EXPECT_EQ(maps.at("level1").sizes(), (std::vector<int64_t>{6, 64, 8, 8}));
  expect_close(maps.at("level1").mean({2, 3}), of_stage.at("level1"));
}

TEST_F(FeaturesProgram, Tensors) {
  const torch::NoGradGuard no_grad;
  const auto volume = volumes()[0].squeeze(0);  // [4, 32, 32]
  train::save_npy(folder_->path() / "volume.npy", volume);
  train::save_safetensors(folder_->path() / "two.safetensors", {{{"volumes", torch::stack({volume, volume + 1})}}, {}});
  const auto model = trained_model();
  const std::string options = " out.safetensors --experiment x.toml --stage slices --kind ";
  expect_close(features("volume.npy" + options + "holistic").at("holistic"),
               model->embed(volume.unsqueeze(0).unsqueeze(0)).pooled);
  expect_close(features("two.safetensors" + options + "tokens").at("tokens"),
               model->embed(torch::stack({volume, volume + 1}).unsqueeze(1)).tokens);
  expect_close(features("volume.npy" + options + "pooled").at("pooled"), model->embed(volume.unsqueeze(1)).pooled);
  train::save_npy(folder_->path() / "short.npy", volume.narrow(0, 0, 3));
  EXPECT_THAT(refused("short.npy" + options + "tokens"),
              testing::AllOf(HasSubstr("short.npy: expected volumes"), HasSubstr("F = 4"), HasSubstr("[3, 32, 32]")));
}

TEST_F(FeaturesProgram, ABackboneOfSomebodyElsesLibrary) {
  torch::manual_seed(6);
  const auto images = torch::rand({3, 1, 32, 16});
  train::save_npy(folder_->path() / "images.npy", images);
  const Answer answer =
      run("IVORY_PLUGIN_PATH=" + test::build_dir() +
          "/lib/test_backbone ivory features images.npy out.safetensors --kind maps --backbone patches "
          "--option size=4");
  ASSERT_EQ(answer.code, 0) << answer.text;
  const auto file = train::load_safetensors(folder_->path() / "out.safetensors");
  const std::map<std::string, torch::Tensor> made(file.tensors.begin(), file.tensors.end());
  ASSERT_EQ(made.size(), 2u);
  expect_close(made.at("level0"), images.unfold(2, 4, 4).unfold(3, 4, 4).mean({4, 5}));
  expect_close(made.at("pooled"), torch::stack({images.mean({1, 2, 3}), images.amax({1, 2, 3})}, 1));
}

TEST_F(FeaturesProgram, AFolderOfImages) {
  const fs::path images = folder_->path() / "images";
  fs::create_directories(images);
  torch::manual_seed(5);
  for (const char* name : {"1.png", "2.png", "3.png"}) {
    eval::write_png(images / name, torch::randint(0, 256, {1, 24, 20}, torch::kUInt8).expand({3, -1, -1}));
  }
  const std::string options = " out.safetensors --experiment x.toml --stage slices --kind ";
  const auto all = features("images" + options + "pooled");
  ASSERT_EQ(all.at("pooled").sizes(), (std::vector<int64_t>{3, 512}));
  expect_close(features("images/2.png" + options + "pooled").at("pooled"), all.at("pooled").narrow(0, 1, 1));
  EXPECT_EQ(features("images" + options + "tokens").at("tokens").sizes(), (std::vector<int64_t>{1, 4, 16}));
  eval::write_png(images / "4.png", torch::randint(0, 256, {3, 30, 20}, torch::kUInt8));
  EXPECT_THAT(refused("images" + options + "tokens"), HasSubstr("slices of one volume have one size"));
}

TEST_F(FeaturesProgram, OtherFormats) {
  const std::string options = " --experiment x.toml --stage slices --kind ";
  const auto holistic = features("scans out.safetensors" + options + "holistic").at("holistic");
  ASSERT_EQ(run("ivory features scans out.npy --size 32" + options + "holistic").code, 0);
  EXPECT_TRUE(torch::equal(train::load_npy(folder_->path() / "out.npy"), holistic));
  ASSERT_EQ(run("ivory features scans out.npy --size 32" + options + "levels").code, 0);
  EXPECT_TRUE(fs::exists(folder_->path() / "out.level3.npy"));
}

TEST_F(FeaturesProgram, BatchesAreThoseOfOneByOne) {
  const std::string options = " --experiment x.toml --stage slices --kind ";
  for (const std::string kind : {"levels", "tokens", "holistic"}) {
    const auto alone = features("scans out.safetensors" + options + kind + " --batch 1");
    for (const char* batch : {"5", "64"}) {
      const auto together = features("scans out.safetensors" + options + kind + " --batch " + batch);
      ASSERT_EQ(together.size(), alone.size());
      for (const auto& [name, tensor] : together) expect_close(tensor, alone.at(name));
    }
  }
}

// Both backbones on the command line are the [model] of the experiment.
TEST_F(FeaturesProgram, VolumesWithoutAnExperiment) {
  const std::string weights = (stage_folder("slices") / "weights.safetensors").string();
  const std::string network =
      " out.safetensors --backbone resnet --option depth=18 --volume-backbone deformable-transformer "
      "--volume-option layers=1 --volume-option heads=2 --volume-option groups=2 --volume-option ffn=16 "
      "--volume-option downsampling=2 --volume-option kernel=4 --token-width 16 --frames 4 ";
  for (const std::string kind : {"tokens", "holistic", "pooled"}) {
    const auto named = features("b.nii" + network + "--weights '" + weights + "' --kind " + kind);
    const auto of_stage = features("b.nii out.safetensors --experiment x.toml --stage slices --kind " + kind);
    ASSERT_EQ(named.size(), 1u);
    expect_close(named.at(kind), of_stage.at(kind));
  }
  EXPECT_THAT(refused("b.nii" + network + "--levels last --kind tokens --weights '" + weights + "'"),
              HasSubstr("do not fit the network"));
  ASSERT_EQ(run("ivory weights export '" + weights + "' slices.pth --format torch --prefix intra.").code, 0);
  const Answer slices = run("ivory features b.nii" + network + "--size 32 --kind tokens --weights slices.pth");
  EXPECT_EQ(slices.code, 0);
  EXPECT_THAT(slices.text, HasSubstr("slices.pth holds a slice backbone alone"));
}

TEST_F(FeaturesProgram, EightBitTensorsAreNormalisedRealOnesAreNot) {
  const torch::NoGradGuard no_grad;
  torch::manual_seed(6);
  const auto bytes = torch::randint(0, 256, {3, 3, 32, 32}, torch::kUInt8);  // colours
  const auto real = (bytes.to(torch::kFloat32) / 255 - 0.5) / 0.25;
  train::save_safetensors(folder_->path() / "bytes.safetensors", {{{"images", bytes}}, {}});
  train::save_npy(folder_->path() / "real.npy", real);
  const std::string options = " out.safetensors --experiment x.toml --stage slices --kind pooled";
  const auto expected = trained_model()->embed(real).pooled;
  expect_close(features("bytes.safetensors" + options).at("pooled"), expected);
  expect_close(features("real.npy" + options).at("pooled"), expected);
  train::save_npy(folder_->path() / "whole.npy", bytes.to(torch::kInt64));
  EXPECT_THAT(refused("whole.npy" + options), HasSubstr("whole.npy: expected real numbers or uint8, got"));
}

// As large as the model wants its volumes, so that nothing is resampled. Names run against the slices' positions.
TEST_F(FeaturesProgram, AFolderOfADicomSeriesIsAVolume) {
  const torch::NoGradGuard no_grad;
  torch::manual_seed(7);
  const auto stored = torch::randint(0, 2000, {4, 32, 32}, torch::kInt16);
  for (int slice = 0; slice < 4; ++slice) {
    ingest::testing::write_dicom(
        folder_->path() / "series" / (std::to_string(9 - slice) + ".dcm"), stored[slice],
        {.instance = "1.2.3." + std::to_string(slice + 1), .z = 2.0 * slice, .intercept = -1000});
  }
  // Hounsfield units −1000 … 1000 are 0 … 1.
  const auto volume = ((stored.to(torch::kFloat32) / 2000 - 0.5) / 0.25).unsqueeze(1);  // [F, 1, H, W]
  const std::string options = " out.safetensors --experiment x.toml --stage slices --kind ";
  const auto model = trained_model();
  expect_close(features("series" + options + "tokens").at("tokens"),
               model->embed(volume.transpose(0, 1).unsqueeze(0)).tokens);
  expect_close(features("series" + options + "pooled").at("pooled"), model->embed(volume).pooled);
}

TEST_F(FeaturesProgram, AnIndependentReaderFindsTheTokensInHdf5) {
  const std::string options = " --experiment x.toml --stage slices --kind tokens";
  const auto tokens = features("scans out.safetensors" + options).at("tokens");
  ASSERT_EQ(run("ivory features scans out.h5 --size 32" + options).code, 0);
  const Answer read = run("'" + test::python().string() +
                          "' -c 'import h5py, numpy; f = h5py.File(\"out.h5\"); assert list(f) == [\"tokens\"]; "
                          "numpy.save(\"read.npy\", f[\"tokens\"][:])'");
  ASSERT_EQ(read.code, 0) << read.text;
  EXPECT_TRUE(torch::equal(train::load_npy(folder_->path() / "read.npy"), tokens));
}

TEST_F(FeaturesProgram, SaysWhatIsWrong) {
  const std::string model = "scans out.h5 --experiment x.toml ";
  EXPECT_THAT(refused("a.nii out.h5 --backbone resnet --kind tokens"),
              HasSubstr("--kind tokens needs --volume-backbone NAME beside --backbone, or --experiment FILE"));
  EXPECT_THAT(refused("a.nii out.h5 --backbone resnet --frames 4"), HasSubstr("--frames belongs to --volume-backbone"));
  EXPECT_THAT(refused("a.nii out.h5 --backbone deformable-transformer"), HasSubstr("does not work on images"));
  EXPECT_THAT(refused("a.nii out.h5 --backbone resnet --volume-backbone deformable-transformer --volume-option heds=2"),
              HasSubstr("backbone 'deformable-transformer' has no option 'heds'; did you mean 'heads'?"));
  EXPECT_THAT(refused(model + "--kind token"), HasSubstr("levels, pooled, maps, tokens or holistic, got 'token'"));
  EXPECT_THAT(refused(model + "--backbone resnet"), HasSubstr("exclude each other"));
  EXPECT_THAT(refused(model + "--stage slces"), HasSubstr("has no stage 'slces'; did you mean 'slices'?"));
  EXPECT_THAT(refused(model + "--stage later", 3), HasSubstr("stage 'later' is not trained in runs"));
  EXPECT_THAT(refused(model + "--stage slices --weights x"), HasSubstr("exclude each other"));
  EXPECT_THAT(refused("a.nii out.h5 --backbone resnet --stage slices"), HasSubstr("belong to --experiment"));
  EXPECT_THAT(refused("nothing out.h5 --experiment x.toml", 3), HasSubstr("nothing does not exist"));
  std::ofstream(folder_->path() / "no_inter.toml")
      << "[experiment]\nname = \"x\"\n[model]\nslice_backbone = { name = \"resnet\", depth = 18 }\n";
  EXPECT_THAT(refused("a.nii out.h5 --experiment no_inter.toml --kind tokens"), HasSubstr("names no volume_backbone"));
}

}  // namespace
}  // namespace ivory::tools
