#include <gtest/gtest.h>
#include <ivory/metrics.h>

#include "support/golden.h"

namespace ivory {
namespace {

// What comes in single precision is rounded to 2^-24 of itself; all that follows is done in double.
struct Precision {
  const char* name;
  torch::Dtype dtype;
  double exact;  // a few operations
  double sums;   // singular values, logarithms
};
class MetricsReference : public testing::TestWithParam<Precision> {
 protected:
  static torch::Tensor matrix(const nlohmann::json& rows) {
    std::vector<torch::Tensor> result;
    for (const auto& row : rows) result.push_back(torch::tensor(row.get<std::vector<double>>(), torch::kDouble));
    return torch::stack(result).to(GetParam().dtype);
  }
  static nlohmann::json golden(const char* name) { return test::golden("metrics")[name]; }
};

// Masks are what a threshold makes of numbers; IoU and Dice are ratios of counts of pixels.
TEST_P(MetricsReference, OverlapIsScikitLearns) {
  const auto reference = golden("overlap");
  Overlap overlap;
  for (size_t slice = 0; slice < reference["truth"].size(); ++slice) {
    overlap.add(matrix(reference["predicted"][slice]) > 0, matrix(reference["truth"][slice]) > 0);
  }
  EXPECT_NEAR(overlap.iou(), reference["iou"].get<double>(), GetParam().exact);
  EXPECT_NEAR(overlap.dice(), reference["dice"].get<double>(), GetParam().exact);
}

TEST_P(MetricsReference, AucIsScikitLearnsWithTies) {
  const auto reference = golden("auc");
  const auto scores =
      torch::tensor(reference["scores"].get<std::vector<double>>(), torch::kDouble).to(GetParam().dtype);
  const auto labels = torch::tensor(reference["labels"].get<std::vector<int64_t>>());
  ASSERT_LT(std::get<0>(torch::_unique2(scores)).numel(), scores.numel()) << "the golden data must have ties";
  EXPECT_NEAR(auc(scores, labels), reference["value"].get<double>(), GetParam().exact);
}

TEST_P(MetricsReference, EffectiveRankIsNumpys) {
  const auto reference = golden("effective_rank");
  EXPECT_NEAR(effective_rank(matrix(reference["features"])), reference["value"].get<double>(), GetParam().sums);
}

TEST_P(MetricsReference, EntropyAndPerplexityOfAssignmentsAreNumpys) {
  const auto reference = golden("assignments");
  const auto rows = matrix(reference["rows"]);
  EXPECT_NEAR(mean_row_entropy(rows), reference["mean_row_entropy"].get<double>(), GetParam().exact);
  EXPECT_NEAR(perplexity(rows), reference["perplexity"].get<double>(), GetParam().sums);
}

INSTANTIATE_TEST_SUITE_P(In, MetricsReference,
                         testing::Values(Precision{"Double", torch::kDouble, 1e-12, 1e-10},
                                         Precision{"Single", torch::kFloat, 1e-5, 1e-5}),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace ivory
