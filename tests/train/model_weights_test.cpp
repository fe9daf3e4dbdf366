// Weights into a whole model: what does not fit is refused, part by part.
#include "train/model_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/cache_fixtures.h"
#include "support/errors.h"
#include "support/plugins.h"

namespace ivory::train {
namespace {

TEST(ModelWeights, APartOfAnotherShapeIsRefusedUnlessItMayStayFresh) {
  const data::testing::TemporaryFolder folder;
  std::filesystem::create_directories(folder.path());
  torch::manual_seed(1);
  const auto saved = test::small_model(8, 16, torch::kFloat), same = test::small_model(8, 16, torch::kFloat),
             wider = test::small_model(8, 32, torch::kFloat);
  const auto file = export_weights(*saved, folder.path(), "x");
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

}  // namespace
}  // namespace ivory::train
