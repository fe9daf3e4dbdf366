// Weights of 3D networks under the names of other programs: encoder, decoder and head of files of whole networks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/cache_fixtures.h"
#include "plugins/networks3d/whole_network.h"
#include "support/errors.h"
#include "support/log.h"
#include "train/model_weights.h"
#include "weights/weights_file.h"

namespace ivory::train {
namespace {

using test::bad_request_of;
using testing::HasSubstr;

const test::Settings small_swin = {
    {"feature_size", int64_t{12}}, {"window", int64_t{3}}, {"merging", std::string("legacy")}};

class NetworkWeights : public testing::Test {
 protected:
  NetworkWeights() {
    std::filesystem::create_directories(folder_.path());
    torch::manual_seed(1);
  }

  std::filesystem::path write(const NamedTensors& tensors) const {
    const auto file = folder_.path() / "network.safetensors";
    save_safetensors(file, {tensors, {}});
    return file;
  }

  // Encoder below `encoder`, decoder and head beside it, all below `outer`.
  static NamedTensors flat(const nn::OwnDecoder& model, const nn::OutputHead& head, const std::string& outer,
                           const std::string& encoder) {
    NamedTensors tensors;
    const auto add = [&](const torch::nn::Module& module, const std::string& prefix) {
      for (const auto& [name, tensor] : state_of(module)) {
        if (name != "merging") tensors.emplace_back(outer + prefix + name, tensor);
      }
    };
    add(*model.part("encoder"), encoder);
    add(*model.part("decoder"), "");
    add(head, model.head_name() + ".");
    return tensors;
  }

  static void expect_equal(const torch::nn::Module& found, const torch::nn::Module& expected) {
    const auto other = expected.named_parameters();
    for (const auto& p : found.named_parameters()) EXPECT_TRUE(torch::equal(p.value(), other[p.key()])) << p.key();
  }

  const data::testing::TemporaryFolder folder_;
};

TEST_F(NetworkWeights, AWholeNetworkFillsEncoderDecoderAndHead) {
  for (const auto& [name, settings, outer, encoder] :
       {std::tuple<std::string, test::Settings, std::string, std::string>{"dense-v-net", {}, "state_dict.module.", ""},
        {"swin-unetr", small_swin, "", "swinViT."}}) {
    const auto saved = test::own_decoder(name, settings), model = test::own_decoder(name, settings);
    const auto head = saved->head(2);
    const auto file = write(flat(*saved, *head, outer, encoder));
    const auto task =
        test::make<Task>("segmentation", {{"roi", std::vector<int64_t>{32, 32, 64}}},
                         {.model = model, .classes = {"organ"}, .volume_names = {}, .size = {32, 32, 64}});
    load_task_parts(*task, *model, load_weights(*model, file, "task t", 0.95));
    expect_equal(*model, *saved);
    expect_equal(*task->named_children()[saved->head_name()], *head);

    // A head of other classes stays fresh, and the log says so.
    const auto other = test::own_decoder(name, settings);
    const auto more =
        test::make<Task>("segmentation", {{"roi", std::vector<int64_t>{32, 32, 64}}},
                         {.model = other, .classes = {"a", "b"}, .volume_names = {}, .size = {32, 32, 64}});
    const test::Log log;
    load_task_parts(*more, *other, load_weights(*other, file, "task t", 0.95));
    expect_equal(*other, *saved);
    EXPECT_THAT(log.text(), HasSubstr("into " + saved->head_name() + ": below '" + outer + saved->head_name() +
                                      ".': 0 tensors matched"));
  }
}

// model_swinvit.pt: the encoder alone, below "module.", with fc1 and fc2.
TEST_F(NetworkWeights, ThePreTrainedSwinFillsTheEncoder) {
  const auto saved = test::own_decoder("swin-unetr", small_swin), model = test::own_decoder("swin-unetr", small_swin);
  NamedTensors tensors;
  for (auto [name, tensor] : state_of(*saved->part("encoder"))) {
    if (name == "merging") continue;
    if (const size_t at = name.find("mlp.linear"); at != std::string::npos) name.replace(at, 10, "mlp.fc");
    tensors.emplace_back("state_dict.module." + name, tensor);
  }
  tensors.emplace_back("state_dict.module.rotation_head.weight", torch::zeros({4, 192}));
  const auto file = write(tensors);
  const auto decoder = model->part("decoder")->parameters()[0].clone();
  const test::Log log;
  load_weights(*model, file, "stage s", 0.95);
  expect_equal(*model->part("encoder"), *saved->part("encoder"));
  EXPECT_TRUE(torch::equal(model->part("decoder")->parameters()[0], decoder));
  EXPECT_THAT(log.text(), testing::AllOf(HasSubstr("100.0 % of the parameters"), HasSubstr("rotation_head"),
                                         HasSubstr("into the decoder: the file has none, it begins fresh")));

  const auto fixed = test::own_decoder("swin-unetr", {{"feature_size", int64_t{12}}, {"window", int64_t{3}}});
  EXPECT_THAT(bad_request_of([&] { load_weights(*fixed, file, "stage s", 0.95); }),
              testing::AllOf(HasSubstr("stage s: "), HasSubstr("set merging = \"legacy\"")));
}

TEST_F(NetworkWeights, OwnFilesRememberTheMerging) {
  const auto legacy = test::own_decoder("swin-unetr", small_swin);
  const auto file = export_weights(*legacy, folder_.path(), "x").path;
  const auto same = test::own_decoder("swin-unetr", small_swin);
  load_weights(*same, file, "stage s", 0.95);
  expect_equal(*same, *legacy);
  const auto fixed = test::own_decoder("swin-unetr", {{"feature_size", int64_t{12}}, {"window", int64_t{3}}});
  EXPECT_THAT(bad_request_of([&] { load_weights(*fixed, file, "stage s", 0.95); }), HasSubstr("set merging"));
}

TEST_F(NetworkWeights, ADecoderThatIsThereInPartIsRefused) {
  const auto saved = test::own_decoder("dense-v-net"), model = test::own_decoder("dense-v-net");
  auto tensors = flat(*saved, *saved->head(2), "", "");
  std::erase_if(tensors, [](const auto& one) { return one.first.starts_with("skips.2."); });
  const auto file = write(tensors);
  EXPECT_THAT(bad_request_of([&] { load_weights(*model, file, "stage s", 0.95); }),
              testing::AllOf(HasSubstr("into the decoder"), HasSubstr("do not fit")));
}

TEST_F(NetworkWeights, AnotherNetworkMatchesNothingAndFails) {
  const auto saved = test::own_decoder("dense-v-net"), model = test::own_decoder("swin-unetr", small_swin);
  const auto file = write(flat(*saved, *saved->head(2), "module.", ""));
  EXPECT_THAT(bad_request_of([&] { load_weights(*model, file, "stage s", 0.95); }), HasSubstr("no key in common"));
}

// A volume network of RGB weights in one of grey volumes: 5-dimensional kernels are summed as those of images are.
TEST_F(NetworkWeights, RgbKernelsOfVolumesAreSummedForGrey) {
  const auto rgb = test::make<Backbone>("i3d", {}, {});
  const auto grey = test::make<Backbone>("i3d", {{"in_channels", int64_t{1}}}, {});
  const auto mapped = load_mapped(*grey, state_of(*rgb), 1.0);
  EXPECT_EQ(mapped.report.share, 1);
  const std::string first = "Conv3d_1a_7x7.conv3d.weight";
  EXPECT_TRUE(torch::equal(grey->named_parameters()[first], rgb->named_parameters()[first].sum(1, true)));
}

}  // namespace
}  // namespace ivory::train
