#include <gtest/gtest.h>

#include <map>

#include "plugins/tasks/faster_rcnn_fixture.h"

namespace ivory {
namespace {

class FasterRcnnReference : public testing::Test {
 protected:
  FasterRcnnReference() : golden(test::golden("faster_rcnn")), net(test::faster_rcnn(3)) {
    net->to(torch::kFloat64);
    net->order = [](int64_t n) { return torch::arange(n); };  // the first ones are sampled
    const torch::NoGradGuard no_grad;
    for (auto& [name, tensor] : test::state_of(*net)) {
      if (tensor.is_floating_point()) tensor.copy_(test::filled_parameter(name, tensor));
    }
  }

  const nlohmann::json golden;
  const std::shared_ptr<nn::FasterRcnn> net;
  const torch::Tensor images = test::fill({2, 3, 128, 160}, 1, 2);
  const Boxes first = test::boxes_of({{10, 12, 50, 60}, {40, 30, 120, 110}, {100, 90, 130, 125}}, {1, 2, 3});
  const Boxes second = test::boxes_of({{30.5, 20.25, 90, 100}, {5, 64, 24, 99}}, {3, 1});
};

TEST_F(FasterRcnnReference, NamesAndShapesAreTorchvisions) {
  std::map<std::string, std::vector<int64_t>> expected, got;
  for (const auto& item : golden["tensors"]) expected[item[0]] = item[1].get<std::vector<int64_t>>();
  for (const auto& [name, tensor] : test::state_of(*net)) {
    if (!name.ends_with("num_batches_tracked")) got[name] = tensor.sizes().vec();
  }
  EXPECT_EQ(got, expected);
}

// Double on both sides: the order of summation differs over some fifty layers, and the losses' gradients pass through
// them back.
TEST_F(FasterRcnnReference, LossesAndGradientsAreTorchvisions) {
  net->train();
  const auto& expected = golden["both"];
  const auto losses = net->losses(images, {first, second});
  const auto expect_loss = [&](const torch::Tensor& loss, const char* name) {
    EXPECT_NEAR(loss.item<double>(), expected["losses"][name].get<double>(), 1e-9) << name;
  };
  expect_loss(losses.objectness, "loss_objectness");
  expect_loss(losses.proposal_box, "loss_rpn_box_reg");
  expect_loss(losses.classifier, "loss_classifier");
  expect_loss(losses.box, "loss_box_reg");
  losses.sum().backward();
  size_t trained = 0;
  for (const auto& parameter : net->named_parameters()) {
    if (!parameter.value().requires_grad()) continue;
    ++trained;
    ASSERT_TRUE(expected["gradients"].contains(parameter.key())) << parameter.key();
    test::expect_summary(parameter.value().grad(), expected["gradients"][parameter.key()], 1e-7, parameter.key());
  }
  EXPECT_EQ(trained, expected["gradients"].size());
}

TEST_F(FasterRcnnReference, AnImageWithoutBoxes) {
  net->train();
  const auto& expected = golden["one_without"]["losses"];
  const auto losses = net->losses(images, {first, test::boxes_of({}, {})});
  EXPECT_NEAR(losses.objectness.item<double>(), expected["loss_objectness"].get<double>(), 1e-9);
  EXPECT_NEAR(losses.proposal_box.item<double>(), expected["loss_rpn_box_reg"].get<double>(), 1e-9);
  EXPECT_NEAR(losses.classifier.item<double>(), expected["loss_classifier"].get<double>(), 1e-9);
  EXPECT_NEAR(losses.box.item<double>(), expected["loss_box_reg"].get<double>(), 1e-9);
}

TEST_F(FasterRcnnReference, BoxesOfEvaluationAreTorchvisions) {
  net->eval();
  const auto found = net->detect(images);
  ASSERT_EQ(found.size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    const auto& expected = golden["found"][i];
    ASSERT_EQ(found[i].scores.numel(), expected["count"].get<int64_t>());
    test::expect_summary(found[i].corners, expected["boxes"], 1e-9, "boxes");
    test::expect_summary(found[i].scores, expected["scores"], 1e-9, "scores");
    const auto labels = expected["labels"].get<std::vector<int64_t>>();
    EXPECT_TRUE(torch::equal(found[i].classes, torch::tensor(labels, torch::kInt64)));
  }
}

// networks_tasks.md §2 counts torchvision's frozen batch normalisation as buffers.
TEST(FasterRcnn, ParameterCounts) {
  const auto frozen_norm = [](const torch::nn::Module& net) {
    int64_t count = 0;
    for (const auto& module : net.modules()) {
      if (!module->as<torch::nn::BatchNorm2d>()) continue;
      for (const auto& parameter : module->parameters()) count += parameter.numel();
    }
    return count;
  };
  const auto torchvision = test::faster_rcnn(14);
  EXPECT_EQ(frozen_norm(*torchvision), 53120);
  EXPECT_EQ(test::parameter_count(*torchvision) - 53120, 41365786);
  EXPECT_EQ(test::parameter_count(*test::faster_rcnn(90)) - 53120, 41755286);
  const auto other = nn::FasterRcnnOptions::of(nn::FasterRcnnOptions::Variant::mmdetection);
  EXPECT_EQ(test::parameter_count(*test::faster_rcnn(80, other)), 41753056);
  const auto mmdetection = test::faster_rcnn(14, other);
  EXPECT_EQ(test::parameter_count(*mmdetection), 41414806);
  int64_t trained = 0;
  for (const auto& parameter : mmdetection->parameters()) trained += parameter.requires_grad() ? parameter.numel() : 0;
  EXPECT_EQ(trained, 41189462);
}

TEST(FasterRcnn, MmdetectionsNames) {
  const auto net = test::faster_rcnn(14, nn::FasterRcnnOptions::of(nn::FasterRcnnOptions::Variant::mmdetection));
  const auto parameters = net->named_parameters();
  for (const char* name :
       {"backbone.conv1.weight", "backbone.layer4.2.bn3.bias", "neck.lateral_convs.3.conv.weight",
        "neck.fpn_convs.0.conv.bias", "rpn_head.rpn_conv.weight", "rpn_head.rpn_cls.bias", "rpn_head.rpn_reg.weight",
        "roi_head.bbox_head.shared_fcs.0.weight", "roi_head.bbox_head.shared_fcs.1.bias",
        "roi_head.bbox_head.fc_cls.weight", "roi_head.bbox_head.fc_reg.bias"})
    EXPECT_TRUE(parameters.contains(name)) << name;
}

}  // namespace
}  // namespace ivory
