// What all 3D networks with their own decoder have in common: encoder of other models, whole in a segmentation.
#include <ivory/nn/unet.h>

#include "plugins/networks3d/whole_network.h"
#include "support/errors.h"

namespace ivory {
namespace {

using test::bad_request_of;
using test::Settings;
using testing::HasSubstr;

struct Case {
  const char* name;
  Settings small;
  std::vector<int64_t> size;           // that the strides divide
  std::vector<int64_t> general = {8};  // widths of the general decoder
};

class VolumeNetworks : public testing::TestWithParam<Case> {
 protected:
  VolumeNetworks() { torch::manual_seed(1); }
  std::shared_ptr<nn::OwnDecoder> model() const { return test::own_decoder(GetParam().name, GetParam().small); }
  std::shared_ptr<Backbone> encoder() const { return test::make<Backbone>(GetParam().name, GetParam().small, {}); }
  static torch::Tensor volumes(int64_t count = 2) {
    const auto& size = GetParam().size;
    return torch::rand({count, 1, size[0], size[1], size[2]});
  }
};

TEST_P(VolumeNetworks, LevelsHaveTheDeclaredWidthsAndStrides) {
  const auto net = encoder();
  const auto info = net->info();
  EXPECT_EQ(info.input, Input::volume);
  net->eval();
  const torch::NoGradGuard no_grad;
  const auto features = net->forward(volumes());
  ASSERT_EQ(features.levels.size(), info.levels.size());
  for (size_t l = 0; l < info.levels.size(); ++l) {
    std::vector<int64_t> expected = {2, info.levels[l].width};
    for (size_t axis = 0; axis < 3; ++axis) expected.push_back(GetParam().size[axis] / info.levels[l].stride[axis]);
    EXPECT_EQ(features.levels[l].sizes().vec(), expected) << "level " << l;
  }
  EXPECT_EQ(features.pooled.sizes(), torch::IntArrayRef({2, info.width}));
}

TEST_P(VolumeNetworks, DecodeToTheSizeOfTheSamples) {
  const auto whole = model();
  EXPECT_EQ(whole->parts(), (std::vector<std::string>{"encoder", "decoder"}));
  EXPECT_EQ(whole->width(SampleKind::slice), 0);
  EXPECT_EQ(whole->encoder(SampleKind::slice), nullptr);
  EXPECT_EQ(whole->encoder(SampleKind::volume), whole->part("encoder"));
  whole->eval();
  const torch::NoGradGuard no_grad;
  const auto samples = volumes();
  const auto features = whole->embed(samples);
  EXPECT_EQ(features.pooled.size(1), whole->width(SampleKind::volume));
  auto expected = samples.sizes().vec();
  expected[1] = whole->dense_width();
  EXPECT_EQ(whole->decode(features).sizes().vec(), expected);
  expected[1] = 3;
  EXPECT_EQ(whole->logits(features, *whole->head(3)).sizes().vec(), expected);
}

TEST_P(VolumeNetworks, TakeTheGeneralDecoderToo) {
  nn::UNet net(encoder(), GetParam().general, 2);
  net.eval();
  const torch::NoGradGuard no_grad;
  const auto samples = volumes(1);
  EXPECT_EQ(net.forward(samples).sizes().slice(2), samples.sizes().slice(2));
}

TEST_P(VolumeNetworks, LearnASegmentation) {
  const auto& size = GetParam().size;
  const auto task =
      test::make<Task>("segmentation", {{"roi", size}},
                       {.model = model(), .classes = {"bright"}, .volume_names = {"a"}, .size = {8, 8, 8}});
  TaskBatch batch;
  batch.masks = torch::zeros({2, size[0], size[1], size[2]}, torch::kInt64);
  batch.masks.slice(3, 3, 11).fill_(1);
  batch.images.pixels =
      (2 * batch.masks - 1).to(torch::kFloat).unsqueeze(1) + 0.1 * torch::randn({2, 1, size[0], size[1], size[2]});
  torch::optim::Adam optimiser(task->parameters(), 0.003);
  task->train();
  const double before = task->loss(batch).item<double>();
  for (int step = 0; step < 3; ++step) {
    optimiser.zero_grad();
    task->loss(batch).backward();
    for (const auto& named : task->named_parameters()) EXPECT_TRUE(named.value().grad().defined()) << named.key();
    optimiser.step();
  }
  EXPECT_LT(task->loss(batch).item<double>(), before);
}

// In channels-last memory, where normalisations are fused, and with autograd's graph of single precision.
TEST_P(VolumeNetworks, ChannelsLastMemoryChangesNothing) {
  const auto usual = model(), last = model();
  usual->to(torch::kDouble);
  const auto samples = volumes();
  for (const auto& p : last->named_parameters()) {
    const torch::NoGradGuard no_grad;
    p.value().copy_(usual->named_parameters()[p.key()]);
    if (p.value().dim() == 5) p.value().set_data(p.value().contiguous(torch::MemoryFormat::ChannelsLast3d));
  }
  const auto expected = usual->decode(usual->embed(samples.to(torch::kDouble)));
  const auto weights = torch::rand_like(expected);
  (expected * weights).mean().backward();
  const auto found = last->decode(last->embed(samples.contiguous(torch::MemoryFormat::ChannelsLast3d)));
  (found * weights.to(torch::kFloat)).mean().backward();
  const auto far = [](const torch::Tensor& a, const torch::Tensor& b) {
    return ((a.to(torch::kDouble) - b).norm() / b.norm()).item<double>();
  };
  EXPECT_LT(far(found.detach(), expected.detach()), 1e-3);
  double difference = 0, norm = 0;  // over all parameters: a bias before a normalisation has rounding for a gradient
  for (const auto& p : last->named_parameters()) {
    const auto& own = usual->named_parameters()[p.key()].grad();
    difference += (p.value().grad().to(torch::kDouble) - own).square().sum().item<double>();
    norm += own.square().sum().item<double>();
  }
  EXPECT_LT(std::sqrt(difference / norm), 0.05);
}

TEST_P(VolumeNetworks, SayWhichSidesWouldFit) {
  const auto net = encoder();
  const auto stride = net->info().levels.back().stride;
  const int64_t side = 3 * stride[1] + 1;
  const auto odd = torch::rand({1, 1, 4 * stride[0], side, 4 * stride[2]});
  EXPECT_THAT(bad_request_of([&] { net->forward(odd); }),
              testing::AllOf(HasSubstr(GetParam().name), HasSubstr(std::to_string(3 * stride[1]) + ", "),
                             HasSubstr(std::to_string(4 * stride[1]) + ", "), HasSubstr("would fit")));
  EXPECT_THAT(bad_request_of([&] { net->forward(torch::rand({1, 1, 32, 32})); }), HasSubstr("[1, 1, 32, 32]"));
  EXPECT_THAT(bad_request_of([&] { model()->embed(torch::rand({1, 1, 32, 32})); }), HasSubstr("[1, 1, 32, 32]"));
}

TEST_P(VolumeNetworks, GreyStandsForEveryChannel) {
  auto settings = GetParam().small;
  settings.emplace_back("in_channels", int64_t{2});
  const auto whole = test::own_decoder(GetParam().name, settings);
  const auto head = whole->head(2);
  whole->eval();
  whole->to(torch::kDouble);
  head->eval();
  head->to(torch::kDouble);
  const torch::NoGradGuard no_grad;
  const auto grey = volumes(1).to(torch::kDouble);
  const auto expected = whole->logits(whole->embed(grey.repeat({1, 2, 1, 1, 1})), *head);
  EXPECT_TRUE(torch::allclose(whole->logits(whole->embed(grey), *head), expected, 1e-9, 1e-11));
}

INSTANTIATE_TEST_SUITE_P(Networks, VolumeNetworks,
                         testing::Values(Case{"unet-3d-genesis", {}, {8, 8, 16}, {8, 8, 8, 8}},
                                         Case{"v-net", {{"dropout", 0.0}}, {16, 16, 16}, {8, 8, 8, 8, 8}},
                                         Case{"unetr",
                                              {{"size", std::vector<int64_t>{16, 32, 16}},
                                               {"width", int64_t{24}},
                                               {"mlp", int64_t{24}},
                                               {"heads", int64_t{3}},
                                               {"feature_size", int64_t{4}}},
                                              {32, 16, 16},
                                              {8, 8, 8, 8}},
                                         Case{"swin-unetr",
                                              {{"feature_size", int64_t{12}}, {"window", int64_t{3}}},
                                              {32, 32, 64},
                                              {8, 8, 8, 8, 8}},
                                         Case{"dense-v-net", {{"dropout", 0.0}}, {16, 16, 16}, {8, 8, 8}}),
                         [](const auto& tested) {
                           std::string name = tested.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace ivory
