// Files of Python (tests/reference/torch_files.py) in the layouts that people publish, and files made to do harm.
#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

#include "support/errors.h"
#include "support/paths.h"
#include "weights/torch_file.h"
#include "weights/weights_file.h"

namespace ivory::train {
namespace {

namespace fs = std::filesystem;
using test::bad_request_of;
using testing::AllOf;
using testing::HasSubstr;

fs::path python_file(const std::string& name) {
  return fs::path(test::source_dir()) / "tests" / "reference" / "torch_files" / name;
}

torch::Tensor values(torch::IntArrayRef shape) {
  return torch::arange(c10::multiply_integers(shape), torch::kFloat32).view(shape) / 8;
}

std::map<std::string, torch::Tensor> tensors_of(const std::string& name) {
  const auto list = load_torch(python_file(name)).content.tensors;
  return {list.begin(), list.end()};
}

// The network that every layout holds.
struct TinyNet : torch::nn::Module {
  explicit TinyNet(int64_t channels = 3) {
    using torch::nn::Conv2d, torch::nn::Conv2dOptions;
    register_module("conv1", Conv2d(Conv2dOptions(channels, 4, 3).bias(false)));
    register_module("bn1", torch::nn::BatchNorm2d(4));
    auto block = std::make_shared<torch::nn::Module>();
    block->register_module("conv1", Conv2d(Conv2dOptions(4, 4, 1).bias(false)));
    auto layer = std::make_shared<torch::nn::Module>();
    layer->register_module("0", block);
    register_module("layer1", layer);
  }
};

std::string load_error(const std::string& name) {
  return bad_request_of([&] {
    TinyNet net;
    load_mapped(net, load_weights_file(python_file(name)).content.tensors, 0.95);
  });
}

TEST(TorchFile, ReadsAStateDict) {
  for (const char* name : {"plain.pth", "protocol4.pth", "legacy.pth"}) {
    const auto tensors = tensors_of(name);
    ASSERT_EQ(tensors.size(), 7u) << name;
    EXPECT_TRUE(torch::equal(tensors.at("conv1.weight"), values({4, 3, 3, 3}))) << name;
    EXPECT_TRUE(torch::equal(tensors.at("bn1.bias"), values({4}) + 1)) << name;
    EXPECT_EQ(tensors.at("bn1.num_batches_tracked").item<int64_t>(), 7) << name;
  }
}

// The first pickle of a file before torch 1.6, by any of Python's protocols: from 4 on it lies in a frame.
TEST(TorchFile, ReadsOldFilesOfEveryProtocol) {
  std::ifstream in(python_file("legacy.pth"), std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  const auto file = fs::temp_directory_path() / ("ivory-legacy-" + std::to_string(::getpid()));
  for (const std::string& start : {std::string("\x80\3"), std::string("\x80\4\x95\x0d\0\0\0\0\0\0\0", 11),
                                   std::string("\x80\5\x95\x0d\0\0\0\0\0\0\0", 11)}) {
    std::ofstream(file, std::ios::binary) << start + whole.substr(2);
    EXPECT_EQ(load_weights_file(file).content.tensors.size(), 7u) << int{start[1]};
  }
  fs::remove(file);
}

TEST(TorchFile, FilesThatAreSomethingElseAreNamedAsThat) {
  const auto file = fs::temp_directory_path() / ("ivory-mistaken-" + std::to_string(::getpid()));
  for (const auto& [bytes, keyword] : std::map<std::string, const char*>{
           {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n", "Git LFS"},
           {"<!DOCTYPE html><html></html>", "web page"},
           {"{\"weight_map\": {}}", "JSON"},
           {"<?xml version=\"1.0\"?><Error/>", "XML"}}) {
    std::ofstream(file, std::ios::binary) << bytes;
    EXPECT_THAT(bad_request_of([&] { load_weights_file(file); }), HasSubstr(keyword));
  }
  fs::remove(file);
}

TEST(TorchFile, ReadsEveryKindOfTensor) {
  const auto tensors = tensors_of("kinds.pth");
  const auto base = values({4, 6});
  EXPECT_TRUE(torch::equal(tensors.at("bf16"), values({3}).to(torch::kBFloat16)));
  EXPECT_TRUE(torch::equal(tensors.at("half"), values({3}).to(torch::kHalf)));
  EXPECT_TRUE(torch::equal(tensors.at("double"), values({3}).to(torch::kDouble)));
  EXPECT_TRUE(torch::equal(tensors.at("int"), torch::tensor({int64_t{-1}, int64_t{1} << 40})));
  EXPECT_TRUE(torch::equal(tensors.at("bool"), torch::tensor({true, false})));
  EXPECT_EQ(tensors.at("uint16").scalar_type(), torch::kUInt16);
  EXPECT_TRUE(torch::equal(tensors.at("uint16").to(torch::kInt32), torch::tensor({1, 65535}, torch::kInt32)));
  EXPECT_EQ(tensors.at("f8").scalar_type(), torch::kFloat8_e5m2);
  EXPECT_TRUE(torch::equal(tensors.at("transposed"), base.t()));
  EXPECT_TRUE(torch::equal(tensors.at("part"), base.slice(0, 1, 3).slice(1, 2, 5)));
  EXPECT_TRUE(torch::equal(tensors.at("again"), base));
  EXPECT_EQ(tensors.at("empty").sizes(), torch::IntArrayRef({0, 3}));
  EXPECT_EQ(tensors.at("scalar").item<double>(), 1.5);
  EXPECT_TRUE(torch::equal(tensors.at("parameter"), values({2})));
}

TEST(TorchFile, KeepsWhatLiesBesideTheWeights) {
  const auto file = load_torch(python_file("checkpoint.pth"));
  EXPECT_EQ(file.content.metadata.at("epoch"), "12");
  EXPECT_EQ(file.content.metadata.at("arch"), "tiny");
  const auto tensors = tensors_of("checkpoint.pth");
  EXPECT_TRUE(tensors.contains("state_dict.module.conv1.weight"));
  EXPECT_TRUE(tensors.contains("optimizer.state.0.exp_avg"));
}

struct Layout {
  const char* file;
  const char* prefix;
};
class TorchLayouts : public testing::TestWithParam<Layout> {};

TEST_P(TorchLayouts, FindsTheNetwork) {
  TinyNet net;
  const auto mapped = load_mapped(net, load_weights_file(python_file(GetParam().file)).content.tensors, 0.95);
  EXPECT_EQ(mapped.mapping.prefix, GetParam().prefix);
  EXPECT_EQ(mapped.report.matched.size(), 7u);
  EXPECT_EQ(mapped.report.share, 1);
  EXPECT_TRUE(mapped.report.missing.empty());
  EXPECT_TRUE(torch::equal(net.named_parameters()["layer1.0.conv1.weight"], values({4, 4, 1, 1})));
  EXPECT_TRUE(torch::equal(net.named_buffers()["bn1.running_mean"], values({4}) + 1));
}
INSTANTIATE_TEST_SUITE_P(
    Published, TorchLayouts,
    testing::Values(Layout{"plain.pth", ""}, Layout{"legacy.pth", ""}, Layout{"checkpoint.pth", "state_dict.module."},
                    Layout{"unet.pth", "encoder."}, Layout{"swav.pth.tar", "module."},
                    Layout{"vissl.torch", "classy_state_dict.base_model.model.trunk._feature_blocks."},
                    Layout{"twice.pth", "state_dict.module.encoder_q."}));

TEST(TorchLayouts, SaysThatASecondCopyWasNotTaken) {
  TinyNet net;
  const auto mapped = load_mapped(net, load_torch(python_file("twice.pth")).content.tensors, 0.95);
  EXPECT_THAT(mapped.summary(), HasSubstr("as much matches below 'state_dict.module.encoder_k.', which was not taken"));
}

TEST(TorchLayouts, HeadsAreUnexpected) {
  TinyNet net;
  const auto mapped = load_mapped(net, load_torch(python_file("swav.pth.tar")).content.tensors, 0.95);
  EXPECT_EQ(mapped.report.unexpected, (std::vector<std::string>{"projection_head.0.weight", "prototypes.weight"}));
}

// Not a single shape is that of the network: they are told, below the prefix that the names have.
TEST(TorchLayouts, ANetworkOfAnotherWidthIsReportedByItsShapes) {
  TinyNet net;
  NamedTensors wider;
  for (const auto& [name, tensor] : state_of(net)) wider.emplace_back("model." + name, torch::ones({7, 7}));
  const std::string message = test::bad_request_of([&] { load_mapped(net, wider, 0.95); });
  EXPECT_THAT(message, HasSubstr("0 tensors matched, 0.0 % of the parameters, 7 of another shape (e.g. conv1.weight: "
                                 "[7, 7] for [4, 3, 3, 3])"));
}

TEST(TorchLayouts, ColourBecomesGrey) {
  TinyNet net(1);
  const auto mapped = load_mapped(net, load_torch(python_file("plain.pth")).content.tensors, 0.95);
  EXPECT_EQ(mapped.report.share, 1);
  EXPECT_TRUE(torch::equal(net.named_parameters()["conv1.weight"], values({4, 3, 3, 3}).sum(1, true)));
}

TEST(TorchFileHarm, NothingIsExecuted) {
  const fs::path trace = "/tmp/ivory-was-here";
  fs::remove(trace);
  EXPECT_THAT(load_error("os_system.pth"),
              HasSubstr("its pickle calls posix.system, which runs programs or code and has no place among weights"));
  EXPECT_THAT(load_error("eval.pth"), HasSubstr("its pickle calls builtins.eval"));
  EXPECT_FALSE(fs::exists(trace));
}

TEST(TorchFileHarm, OneSentenceEach) {
  EXPECT_THAT(load_error("plain_pickle.pkl"), HasSubstr("it is a plain pickle, not a file of torch.save"));
  EXPECT_THAT(load_error("out_of_range.pth"), HasSubstr("'w' of shape [2, 2] lies beyond its storage of 4 elements"));
  EXPECT_THAT(load_error("overflow.pth"), HasSubstr("lies beyond its storage of 4 elements"));
  EXPECT_THAT(load_error("empty_overflow.pth"), HasSubstr("lies beyond its storage of 4 elements"));
  EXPECT_THAT(load_error("negative.pth"), HasSubstr("tensor 'w' has a size or stride of -1"));
  EXPECT_THAT(load_error("expanded.pth"), HasSubstr("repeats a storage of 4 elements"));
  EXPECT_THAT(load_error("no_storage.pth"), HasSubstr("storage '0' is not in the archive"));
  EXPECT_THAT(load_error("bomb.pth"), HasSubstr("record 'data/0' claims 16777216 bytes"));
  EXPECT_THAT(load_error("lying_header.pth"), HasSubstr("it is a damaged or truncated zip archive"));
  EXPECT_THAT(load_error("big_endian.pth"), HasSubstr("its numbers are big-endian"));
  EXPECT_THAT(load_error("truncated.pth"), HasSubstr("it is a damaged or truncated zip archive"));
  EXPECT_THAT(load_error("legacy_truncated.pth"), HasSubstr("bytes of the file are left"));
  EXPECT_THAT(load_error("nan.pth"), HasSubstr("tensor 'bn1.bias' holds NaN or infinite values"));
  EXPECT_EQ(load_error("foreign.pth"),
            "the file and the network have no key in common: the file has 'encoder.blocks.0.weight', …; the network "
            "has 'conv1.weight', …");
}

TEST(TorchFileHarm, MemoryIsNotTakenForWhatIsClaimed) {
  const auto error = [](const std::string& name) {
    return bad_request_of(
        [&] { load_weights_file(test::source_dir() + "/tests/fuzz/corpus/weights/" + name + ".pth"); });
  };
  EXPECT_THAT(error("bomb_version"), HasSubstr("record 'version' claims 4194304 bytes, expected a few"));
  EXPECT_THAT(error("doubling"), HasSubstr("its pickle names the same values again and again"));
  EXPECT_THAT(error("parameter_of_itself"), HasSubstr("is described in a way that torch.save does not use"));
}

TEST(TorchFileHarm, EveryTruncationIsAnError) {
  const fs::path file = fs::temp_directory_path() / ("ivory-truncated-" + std::to_string(::getpid()));
  for (const char* name : {"plain.pth", "legacy.pth"}) {
    std::ifstream in(python_file(name), std::ios::binary);
    const std::string whole((std::istreambuf_iterator<char>(in)), {});
    for (size_t length = 0; length < whole.size(); length += 7) {
      std::ofstream(file, std::ios::binary | std::ios::trunc).write(whole.data(), static_cast<std::streamsize>(length));
      EXPECT_THROW(load_weights_file(file), Error) << name << " cut at " << length;
    }
  }
  fs::remove(file);
}

TEST(TorchFile, WritesWhatItReads) {
  const fs::path file = fs::temp_directory_path() / ("ivory-saved-" + std::to_string(::getpid()) + ".pth");
  const auto base = values({4, 6});
  save_torch(file,
             {{"module.part", base.slice(1, 2, 5)}, {"bf16", base.to(torch::kBFloat16)}, {"n", torch::tensor(3)}});
  const auto read = load_torch(file).content.tensors;
  fs::remove(file);
  ASSERT_EQ(read.size(), 3u);
  EXPECT_EQ(read[0].first, "module.part");
  EXPECT_TRUE(torch::equal(read[0].second, base.slice(1, 2, 5)));
  EXPECT_TRUE(torch::equal(read[1].second, base.to(torch::kBFloat16)));
  EXPECT_EQ(read[2].second.item<int64_t>(), 3);
}

TEST(TorchFile, WritesNoTypeThatPythonHasNoStorageClassFor) {
  const fs::path file = fs::temp_directory_path() / ("ivory-types-" + std::to_string(::getpid()) + ".pth");
  for (const auto type : {torch::kUInt16, torch::kUInt32, torch::kUInt64, torch::kFloat8_e4m3fn, torch::kFloat8_e5m2}) {
    EXPECT_THAT(bad_request_of([&] {
                  save_torch(file, {{"layer.w", torch::zeros({2}).to(type)}});
                }),
                AllOf(HasSubstr("tensor 'layer.w' of type "), HasSubstr("safetensors holds it")));
    EXPECT_FALSE(fs::exists(file)) << type;
  }
}

TEST(TorchFile, SaysWhatAFileIsInstead) {
  const fs::path file = fs::temp_directory_path() / ("ivory-other-" + std::to_string(::getpid()));
  const auto error = [&](const std::string& bytes) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
    return bad_request_of([&] { load_weights_file(file); });
  };
  EXPECT_THAT(error(std::string(257, 'x') + "ustar" + std::string(200, '\0')), HasSubstr("tar archive"));
  EXPECT_THAT(error("\x89HDF\r\n\x1a\n"), HasSubstr("it is an HDF5 file"));
  EXPECT_THAT(error("\x1f\x8b\x08"), HasSubstr("compressed with gzip"));
  fs::remove(file);
}

// The first bytes of a safetensors file are its header's length, which may be those of a pickle, a zip or a gzip
// archive.
TEST(WeightsFile, ASafetensorsFileIsKnownWhateverTheLengthOfItsHeader) {
  const fs::path file = fs::temp_directory_path() / ("ivory-length-" + std::to_string(::getpid()));
  for (const uint64_t length : {0x80, 0x280, 0x4b50, 0x8b1f}) {
    std::string header = R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
    header.resize(length, ' ');
    std::ofstream(file, std::ios::binary | std::ios::trunc)
        << std::string(reinterpret_cast<const char*>(&length), sizeof length) << header << '\x07';
    const auto read = load_weights_file(file);
    EXPECT_EQ(read.format, "safetensors") << length;
    EXPECT_EQ(read.content.tensors.at(0).second.item<int64_t>(), 7) << length;
  }
  fs::remove(file);
}

}  // namespace
}  // namespace ivory::train
