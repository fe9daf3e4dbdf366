#include "plugins/networks3d/whole_network.h"
#include "support/errors.h"

namespace {

using ivory::Backbone;
using ivory::test::bad_request_of;
using ivory::test::Settings;
using testing::HasSubstr;

std::shared_ptr<Backbone> encoder(const std::string& bn) {
  torch::manual_seed(1);
  return ivory::test::make<Backbone>("unet-3d-genesis", {{"bn", bn}}, {});
}

// networks_tasks.md §1.2: the sums of its stages, one channel to one.
TEST(UNet3dGenesis, ParameterCounts) {
  const auto model = ivory::test::own_decoder("unet-3d-genesis");
  const auto count = [&](const std::string& part, const std::string& name) {
    return ivory::test::parameter_count(*model->part(part)->named_children()[name]);
  };
  EXPECT_EQ(count("encoder", "down_tr64"), 56'448);
  EXPECT_EQ(count("encoder", "down_tr128"), 332'352);
  EXPECT_EQ(count("encoder", "down_tr256"), 1'328'256);
  EXPECT_EQ(count("encoder", "down_tr512"), 5'310'720);
  EXPECT_EQ(count("decoder", "up_tr256"), 9'177'088);
  EXPECT_EQ(count("decoder", "up_tr128"), 2'294'784);
  EXPECT_EQ(count("decoder", "up_tr64"), 573'952);
  EXPECT_EQ(ivory::test::parameter_count(*model->head(1)), 65);
  EXPECT_EQ(ivory::test::parameter_count(*model) + 65, 19'073'665);
  EXPECT_EQ(ivory::test::whole_count("unet-3d-genesis", 3, {{"in_channels", int64_t{3}}}), 19'075'523);
}

TEST(UNet3dGenesis, EvaluatesByRunningStatisticsOrThoseOfTheBatch) {
  const torch::NoGradGuard no_grad;
  const auto standard = encoder("standard"), always = encoder("batch-always");
  const auto pair = torch::rand({2, 1, 8, 8, 16});
  const auto of_batch = standard->forward(pair).pooled;
  standard->eval();
  always->eval();
  EXPECT_FALSE(torch::allclose(standard->forward(pair).pooled, of_batch, 1e-3));
  EXPECT_TRUE(torch::allclose(always->forward(pair).pooled, of_batch, 1e-4, 1e-6));
  for (const auto& buffer : always->named_buffers()) {
    if (buffer.key().ends_with("running_mean")) EXPECT_EQ(buffer.value().abs().sum().item<float>(), 0) << buffer.key();
  }
  // Samples do not see each other by running statistics.
  const auto alone = [&](Backbone& net) { return net.forward(pair.narrow(0, 0, 1)).pooled[0]; };
  EXPECT_TRUE(torch::allclose(alone(*standard), standard->forward(pair).pooled[0], 1e-4, 1e-6));
  EXPECT_FALSE(torch::allclose(alone(*always), always->forward(pair).pooled[0], 1e-3));
}

TEST(UNet3dGenesis, ABatchOfOneValueIsRefused) {
  const auto one = torch::rand({1, 1, 8, 8, 8});
  EXPECT_THAT(
      bad_request_of([&] { encoder("standard")->forward(one); }),
      testing::AllOf(HasSubstr("unet-3d-genesis"), HasSubstr("more than one value"), HasSubstr("[1, 256, 1, 1, 1]")));
  const auto standard = encoder("standard"), always = encoder("batch-always");
  standard->eval();
  always->eval();
  EXPECT_EQ(standard->forward(one).pooled.size(1), 512);
  EXPECT_THAT(bad_request_of([&] { always->forward(one); }), HasSubstr("more than one value"));
}

}  // namespace
