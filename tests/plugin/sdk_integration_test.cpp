// The installed SDK: docs/examples/byol and vicreg are built against it as a user would do, loaded, and trained for a
// few steps.
#include <gmock/gmock.h>
#include <ivory/fixtures.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "plugin/registry.h"
#include "plugin/scaffold.h"
#include "support/paths.h"

namespace {

namespace fs = std::filesystem;
using ivory::Objective;
using ivory::plugin::Kind;
using ivory::plugin::Registry;
using testing::HasSubstr;
using testing::Not;
using torch::Tensor;

const fs::path work = fs::path(ivory::test::build_dir()) / "sdk_test";
const fs::path prefix = work / "prefix";

struct Outcome {
  int status = -1;
  std::string output;
};

Outcome run(const std::string& command) {
  Outcome outcome;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (!pipe) return outcome;
  char buffer[4096];
  while (const size_t count = std::fread(buffer, 1, sizeof buffer, pipe)) outcome.output.append(buffer, count);
  outcome.status = ::pclose(pipe);
  return outcome;
}

Outcome build(const fs::path& source, const fs::path& binary) {
  const std::string cmake = std::string("'") + IVORY_CMAKE + "' ";
  const auto configured = run(cmake + "-S '" + source.string() + "' -B '" + binary.string() +
                              "' -G Ninja -DCMAKE_MAKE_PROGRAM='" IVORY_NINJA "' -DCMAKE_CXX_COMPILER='" IVORY_CXX
                              "' -DCMAKE_CXX_FLAGS=-Werror -DCMAKE_PREFIX_PATH='" +
                              prefix.string() + "'");
  return configured.status == 0 ? run(cmake + "--build '" + binary.string() + "'") : configured;
}

std::string content(const fs::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

class Sdk : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    fs::remove_all(work);
    installed_ = run(std::string("'") + IVORY_CMAKE + "' --install '" + ivory::test::build_dir() +
                     "' --component sdk --prefix '" + prefix.string() + "'");
    if (installed_.status != 0) return;
    const fs::path examples = fs::path(ivory::test::source_dir()) / "docs" / "examples";
    built_ = build(examples / "byol", work / "byol");
    built_vicreg_ = build(examples / "vicreg", work / "vicreg");
  }
  void SetUp() override {
    ASSERT_EQ(installed_.status, 0) << installed_.output;
    ASSERT_EQ(built_.status, 0) << built_.output;
    ASSERT_EQ(built_vicreg_.status, 0) << built_vicreg_.output;
  }

  // Trains an example from its own experiment, smaller and shorter; returns its losses by step, each a sum of its
  // terms.
  static std::vector<double> trained_losses(const std::string& name) {
    const fs::path example = work / (name + "_example");
    fs::create_directories(example / "build");
    fs::copy_file(ivory::test::source_dir() + "/docs/examples/" + name + "/" + name + ".toml",
                  example / (name + ".toml"));
    fs::copy_file(work / name / ("lib" + name + ".so"), example / "build" / ("lib" + name + ".so"));
    const auto trained =
        run("cd '" + example.string() + "' && IVORY_CACHE=caches OMP_NUM_THREADS=1 '" + ivory::test::build_dir() +
            "/bin/run-experiment' " + name +
            ".toml "
            "--set data.phantom.phantom.volumes=1 --set data.phantom.phantom.size='[16, 48, 48]' "
            "--set stage.slices.batch_size=4 --set stage.slices.epochs=1 "
            "--set stage.slices.views.slice.crops.0.size=32 --set stage.slices.schedule.warmup_epochs=0");
    EXPECT_EQ(trained.status, 0) << trained.output;
    std::ifstream metrics(example / "runs" / name / "nodes/stage-slices/metrics.jsonl");
    std::vector<double> losses;
    for (std::string line; std::getline(metrics, line);) {
      const auto entry = nlohmann::json::parse(line);
      if (entry.at("kind") == "step") losses.push_back(entry.at("loss"));
    }
    return losses;
  }

  static Outcome installed_, built_, built_vicreg_;
};
Outcome Sdk::installed_, Sdk::built_, Sdk::built_vicreg_;

TEST_F(Sdk, StandsOnItsOwn) {
  for (const char* file : {"include/ivory/plugin.h", "include/ivory/fixtures.h", "lib/libivory_core.so",
                           "lib/cmake/Ivory/IvoryConfig.cmake", "lib/cmake/Ivory/IvoryPlugin.cmake"}) {
    EXPECT_TRUE(fs::exists(prefix / file)) << file;
  }
  for (const auto& entry : fs::directory_iterator(prefix / "lib/cmake/Ivory")) {
    const std::string text = content(entry.path());
    EXPECT_THAT(text, Not(HasSubstr(ivory::test::build_dir()))) << entry.path();
    EXPECT_THAT(text, Not(HasSubstr(ivory::test::source_dir() + "/core"))) << entry.path();
  }
}

// Run by the test below in a process of its own that uses the installed core library.
TEST(InstalledCore, DISABLED_DiscoversByol) {
  ASSERT_EQ(ivory::plugin::default_search_path().at(0), fs::canonical(prefix) / "lib" / "ivory" / "plugins");
  Registry registry;
  registry.discover();
  EXPECT_EQ(registry.find<Objective>("byol").options.size(), 4u);
  EXPECT_EQ(registry.origin(Kind::objective, "byol"),
            (fs::canonical(prefix) / "lib/ivory/plugins/libbyol.so").string());
}

TEST_F(Sdk, TheInstalledCoreDiscoversByol) {
  fs::create_directories(prefix / "lib/ivory/plugins");
  fs::copy_file(work / "byol/libbyol.so", prefix / "lib/ivory/plugins/libbyol.so",
                fs::copy_options::overwrite_existing);
  const auto child =
      run("LD_LIBRARY_PATH='" + (prefix / "lib").string() + "' '" + fs::read_symlink("/proc/self/exe").string() +
          "' --gtest_also_run_disabled_tests --gtest_filter='InstalledCore.*'");
  EXPECT_EQ(child.status, 0) << child.output;
  EXPECT_THAT(child.output, HasSubstr("[  PASSED  ] 1 test"));
}

TEST_F(Sdk, ItsExamplesTrainFromTheirExperimentFiles) {
  const auto byol = trained_losses("byol");
  ASSERT_EQ(byol.size(), 4U) << "16 slices in batches of 4";
  EXPECT_LT(byol.back(), byol.front());
  EXPECT_THAT(content(work / "byol_example/runs/byol/experiment.toml"), HasSubstr("momentum = 0.99"));
  const auto vicreg = trained_losses("vicreg");
  ASSERT_EQ(vicreg.size(), 4U);
  for (const double loss : vicreg) EXPECT_TRUE(std::isfinite(loss));  // four steps of four slices: too few to fall
}

// A superproject builds the three scaffolds as they are; it shares a precompiled header between them to save minutes.
TEST_F(Sdk, ScaffoldsCompileAndPassTheirTests) {
  std::string super =
      "cmake_minimum_required(VERSION 3.25)\nproject(scaffolds LANGUAGES CXX)\nfind_package(Ivory REQUIRED)\n"
      "enable_testing()\nadd_compile_options(-fPIC -fvisibility=hidden -fvisibility-inlines-hidden)\n"
      "file(WRITE ${CMAKE_BINARY_DIR}/header.cpp \"\")\nadd_library(header OBJECT ${CMAKE_BINARY_DIR}/header.cpp)\n"
      "target_link_libraries(header Ivory::core)\n"
      "target_precompile_headers(header PRIVATE <ivory/fixtures.h> <ivory/metrics.h>)\n";
  for (const std::string kind : {"objective", "backbone", "task"}) {
    ivory::plugin::write_scaffold("new-" + kind, kind, work / "scaffolds" / kind);
    super += "add_subdirectory(" + kind + ")\n";
    for (const std::string suffix : {"", "_test"}) {
      super += "target_precompile_headers(new_" + kind + suffix + " REUSE_FROM header)\n";
    }
  }
  std::ofstream(work / "scaffolds/CMakeLists.txt") << super;
  const auto built = build(work / "scaffolds", work / "scaffolds/build");
  ASSERT_EQ(built.status, 0) << built.output;

  Registry registry;
  for (const Kind each : {Kind::objective, Kind::backbone, Kind::task}) {
    const std::string kind = name_of(each);
    registry.load("libnew_" + kind + ".so", work / "scaffolds/build" / kind);
    EXPECT_NE(registry.origin(each, "new-" + kind), "");
    const auto tested = run("'" + (work / "scaffolds/build" / kind / ("new_" + kind + "_test")).string() + "'");
    EXPECT_EQ(tested.status, 0) << tested.output;
  }
}

// BYOL from the library that was built, on a network of a few parameters.
class Byol : public Sdk {
 protected:
  void SetUp() override {
    Sdk::SetUp();
    torch::manual_seed(1);
    registry_.load("libbyol.so", work / "byol");
    const auto& plugin = registry_.find<Objective>("byol");
    ivory::Options options(plugin.options);
    options.set("hidden", int64_t{32});
    options.set("width", int64_t{16});
    options.set("momentum", 0.9);
    model_ = ivory::fixtures::tiny_model(16, 8, 4);
    byol_ = plugin.create(
        options, {.width = 16, .views = 2, .fresh_model = [] { return ivory::fixtures::tiny_model(16, 8, 4); }});
    const Tensor images = torch::rand({16, 1, 16, 16});
    batch_.views = {{images}, {(images + 0.1 * torch::randn_like(images)).flip(3)}};
    batch_.index = torch::arange(16);
    stage_.total_steps = 40;
    byol_->before_training(*model_, stage_);
  }

  Tensor parameter(const std::string& name) { return byol_->named_parameters()[name]; }
  double loss() { return byol_->forward(*model_, batch_).at(0).second.item<double>(); }
  std::vector<Tensor> trained() {
    std::vector<Tensor> tensors = model_->intra->parameters();
    for (const auto& tensor : byol_->parameters()) {
      if (tensor.requires_grad()) tensors.push_back(tensor);
    }
    return tensors;
  }

  Registry registry_;
  std::shared_ptr<ivory::ImageVolumeModel> model_;
  std::shared_ptr<Objective> byol_;
  ivory::Batch batch_;
  ivory::StageContext stage_;
};

TEST_F(Byol, TheTargetStartsAsTheOnlineNetworkWithMemoryOfItsOwn) {
  for (const auto& item : model_->named_parameters()) {
    const Tensor target = parameter("target_model.network." + item.key());
    EXPECT_TRUE(target.equal(item.value())) << item.key();
    EXPECT_NE(target.data_ptr(), item.value().data_ptr()) << item.key();
    EXPECT_FALSE(target.requires_grad()) << item.key();
  }
  EXPECT_TRUE(parameter("target_projector.network.0.weight").equal(parameter("projector.0.weight")));
}

TEST_F(Byol, IsTwicePerCropTheDistanceOfUnitVectors) {
  {
    const torch::NoGradGuard no_grad;  // a prediction of zero: 2 − 2 cos = 2 for each of the two directions
    parameter("predictor.3.weight").zero_();
    parameter("predictor.3.bias").zero_();
  }
  EXPECT_NEAR(loss(), 4.0, 1e-6);
}

TEST_F(Byol, IsSymmetricInItsCrops) {
  const double before = loss();
  std::swap(batch_.views[0], batch_.views[1]);
  EXPECT_NEAR(loss(), before, 1e-5);  // sums of 16 float32 terms in another order
}

TEST_F(Byol, MovesTheTargetByItsMomentum) {
  const Tensor online = model_->intra->parameters().at(0);
  const Tensor target = parameter("target_model.network.intra.convolution.weight");
  const Tensor before = target.clone();
  {
    const torch::NoGradGuard no_grad;
    online.add_(1);
  }
  byol_->after_step(*model_, stage_);  // step 0 of 40: τ = τ_base = 0.9
  EXPECT_TRUE(target.allclose(0.9 * before + 0.1 * online));
  const Tensor moved = target.clone();
  stage_.step = 20;  // half way: τ = 1 − 0.1 / 2
  byol_->after_step(*model_, stage_);
  EXPECT_TRUE(target.allclose(0.95 * moved + 0.05 * online));
  const Tensor last = target.clone();
  stage_.step = 40;  // the end: τ = 1
  byol_->after_step(*model_, stage_);
  EXPECT_TRUE(target.equal(last));
}

TEST_F(Byol, AResumedStageKeepsItsTarget) {
  const Tensor before = parameter("target_model.network.intra.convolution.weight").clone();
  {
    const torch::NoGradGuard no_grad;
    model_->intra->parameters().at(0).add_(1);
  }
  byol_->before_training(*model_, stage_);
  EXPECT_TRUE(parameter("target_model.network.intra.convolution.weight").equal(before));
}

TEST_F(Byol, WorksOnVolumesToo) {
  const auto& plugin = registry_.find<Objective>("byol");
  const auto byol = plugin.create(ivory::Options(plugin.options),
                                  {.on = ivory::SampleKind::volume, .width = 8, .views = 2, .fresh_model = [] {
                                     return ivory::fixtures::tiny_model(16, 8, 4);
                                   }});
  byol->before_training(*model_, stage_);
  const Tensor volumes = torch::rand({3, 1, 4, 16, 16});
  const ivory::Batch batch{
      .kind = ivory::SampleKind::volume, .views = {{volumes}, {volumes.flip(4)}}, .index = torch::arange(3)};
  byol->forward(*model_, batch).at(0).second.backward();
  EXPECT_GT(model_->inter->parameters().at(0).grad().abs().max().item<double>(), 0);
}

// Expanded features by hand: the expander's last layer passes rows of its input on.
TEST_F(Sdk, VicregHasItsClosedForm) {
  Registry registry;
  registry.load("libvicreg.so", work / "vicreg");
  const auto& plugin = registry.find<Objective>("vicreg");
  ivory::Options options(plugin.options);
  options.set("width", int64_t{2});
  const auto model = ivory::fixtures::tiny_model(16, 8, 4);
  const auto vicreg = plugin.create(options, {.width = 16, .views = 2});
  const Tensor images = torch::rand({4, 1, 16, 16});
  const ivory::Batch batch{.views = {{images}, {images}}, .index = torch::arange(4)};
  const torch::NoGradGuard no_grad;
  for (const auto& parameter : vicreg->parameters()) parameter.zero_();
  const auto terms = vicreg->forward(*model, batch);
  ASSERT_EQ(terms.size(), 3U);
  EXPECT_EQ(terms[0].second.item<double>(), 0) << "equal views";
  EXPECT_NEAR(terms[1].second.item<double>(), 25 * 2 * (1 - 0.01), 1e-5) << "no spread: 1 − √ε for each view";
  EXPECT_EQ(terms[2].second.item<double>(), 0);
}

TEST_F(Byol, LearnsInAFewSteps) {
  torch::optim::Adam optimiser(trained(), 1e-3);
  const double first = loss();
  for (stage_.step = 1; stage_.step <= stage_.total_steps; ++stage_.step) {
    optimiser.zero_grad();
    byol_->forward(*model_, batch_).at(0).second.backward();
    optimiser.step();
    byol_->after_step(*model_, stage_);
  }
  EXPECT_LT(loss(), 0.5 * first);
  for (const auto& item : byol_->named_parameters()) {
    EXPECT_EQ(item.value().grad().defined(), !item.key().starts_with("target_")) << item.key();
  }
}

}  // namespace
