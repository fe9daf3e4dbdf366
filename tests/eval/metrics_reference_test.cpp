#include <gtest/gtest.h>
#include <ivory/metrics.h>

#include "support/golden.h"

namespace ivory {
namespace {

constexpr double exact = 1e-12;  // double precision, a few operations

torch::Tensor matrix(const nlohmann::json& rows) {
  std::vector<torch::Tensor> result;
  for (const auto& row : rows) result.push_back(torch::tensor(row.get<std::vector<double>>(), torch::kFloat64));
  return torch::stack(result);
}

nlohmann::json golden() {
  return test::golden("metrics");
}

TEST(OverlapReference, AgreesWithScikitLearn) {
  const auto reference = golden()["overlap"];
  Overlap overlap;
  for (size_t slice = 0; slice < reference["truth"].size(); ++slice) {
    overlap.add(matrix(reference["predicted"][slice]) > 0, matrix(reference["truth"][slice]) > 0);
  }
  EXPECT_NEAR(overlap.iou(), reference["iou"].get<double>(), exact);
  EXPECT_NEAR(overlap.dice(), reference["dice"].get<double>(), exact);
}

TEST(AucReference, AgreesWithScikitLearnWithTies) {
  const auto reference = golden()["auc"];
  const auto scores = torch::tensor(reference["scores"].get<std::vector<double>>(), torch::kFloat64);
  const auto labels = torch::tensor(reference["labels"].get<std::vector<int64_t>>());
  ASSERT_LT(std::get<0>(torch::_unique2(scores)).numel(), scores.numel()) << "the golden data must have ties";
  EXPECT_NEAR(auc(scores, labels), reference["value"].get<double>(), exact);
}

TEST(EffectiveRankReference, AgreesWithNumpy) {
  const auto reference = golden()["effective_rank"];
  EXPECT_NEAR(effective_rank(matrix(reference["features"])), reference["value"].get<double>(), 1e-10);
}

TEST(AssignmentsReference, AgreeWithNumpy) {
  const auto reference = golden()["assignments"];
  const auto rows = matrix(reference["rows"]);
  EXPECT_NEAR(mean_row_entropy(rows), reference["mean_row_entropy"].get<double>(), exact);
  EXPECT_NEAR(perplexity(rows), reference["perplexity"].get<double>(), 1e-10);
}

}  // namespace
}  // namespace ivory
