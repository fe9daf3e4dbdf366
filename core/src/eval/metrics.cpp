#include <ivory/error.h>
#include <ivory/metrics.h>

#include <cmath>

namespace ivory {
namespace {

// Σ −p ln p over the last dimension, with 0 ln 0 = 0.
torch::Tensor entropy(const torch::Tensor& probabilities) {
  return torch::special_entr(probabilities).sum(-1);
}

torch::Tensor checked_matrix(const torch::Tensor& matrix, const char* what) {
  IVORY_CHECK(matrix.dim() == 2 && matrix.numel() > 0, what, ": expected a non-empty matrix, got shape ",
              matrix.sizes());
  return matrix.detach().to(torch::kFloat64);
}

}  // namespace

void Overlap::add(const torch::Tensor& predicted, const torch::Tensor& expected) {
  IVORY_CHECK(predicted.scalar_type() == torch::kBool && expected.scalar_type() == torch::kBool,
              "overlap: expected boolean masks, got ", predicted.scalar_type(), " and ", expected.scalar_type());
  IVORY_CHECK(predicted.sizes() == expected.sizes(), "overlap: the prediction has shape ", predicted.sizes(),
              " but the truth ", expected.sizes());
  intersection += (predicted & expected).sum().item<int64_t>();
  prediction += predicted.sum().item<int64_t>();
  truth += expected.sum().item<int64_t>();
}

double Overlap::iou() const {
  if (both_empty()) return 1;
  return static_cast<double>(intersection) / static_cast<double>(prediction + truth - intersection);
}

double Overlap::dice() const {
  if (both_empty()) return 1;
  return 2 * static_cast<double>(intersection) / static_cast<double>(prediction + truth);
}

double Overlap::volume_error() const {
  if (truth == 0) return std::nan("");
  return static_cast<double>(prediction - truth) / static_cast<double>(truth);
}

// Mann–Whitney U over P·N: (Σ ranks of the positives − P (P + 1) / 2) / (P N), equal scores sharing their mean rank.
double auc(const torch::Tensor& scores, const torch::Tensor& labels) {
  IVORY_CHECK(scores.dim() == 1 && labels.sizes() == scores.sizes(),
              "AUC: expected scores and labels of one shape [N], got ", scores.sizes(), " and ", labels.sizes());
  const auto values = scores.detach().to(torch::kCPU, torch::kFloat64);
  const auto truth = labels.detach().to(torch::kCPU, torch::kFloat64);
  IVORY_CHECK(((truth == 0) | (truth == 1)).all().item<bool>(), "AUC: expected labels 0 and 1, got others");
  IVORY_CHECK(!values.isnan().any().item<bool>(), "AUC: expected numbers as scores, got NaN");
  const double positives = truth.sum().item<double>();
  const double negatives = static_cast<double>(truth.numel()) - positives;
  IVORY_CHECK(positives > 0 && negatives > 0, "AUC: both classes are needed, but ", positives == 0 ? "no" : "every",
              " one of ", truth.numel(), " samples is positive");
  const auto [distinct, place, counts] = torch::_unique2(values, true, true, true);
  const auto mean_rank = counts.cumsum(0).to(torch::kFloat64) - (counts - 1).to(torch::kFloat64) / 2;  // of each value
  const double rank_sum = (mean_rank.index_select(0, place) * truth).sum().item<double>();
  return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives);
}

Scores auc_scores(const torch::Tensor& predicted, const torch::Tensor& truth, const std::vector<std::string>& classes,
                  const std::string& task, const std::string& samples) {
  Scores result;
  result.values = {{"auc", 0}};
  for (int64_t c = 0; c < truth.size(1); ++c) {
    const auto positives = truth.select(1, c).sum().item<int64_t>();
    result.counts.emplace_back(samples + " with " + classes[c], positives);
    if (positives == 0 || positives == truth.size(0)) continue;
    result.values.push_back({"auc/" + classes[c], auc(predicted.select(1, c), truth.select(1, c))});
    result.values.front().value += result.values.back().value;
  }
  const auto scored = result.values.size() - 1;
  IVORY_CHECK(scored > 0, "task ", task, ": all ", truth.size(0), " ", samples,
              " of the split agree on every class, so no AUC is defined; a split needs ", samples, " with and without");
  result.values.front().value /= static_cast<double>(scored);
  return result;
}

double effective_rank(const torch::Tensor& features) {
  const auto matrix = checked_matrix(features, "effective rank");
  if (!matrix.isfinite().all().item<bool>()) return std::nan("");
  const auto singular = torch::linalg_svdvals(matrix, std::nullopt);
  const auto total = singular.sum();
  if (total.item<double>() == 0) return 1;
  return std::exp(entropy(singular / total).item<double>());
}

double mean_row_entropy(const torch::Tensor& assignments) {
  return entropy(checked_matrix(assignments, "row entropy")).mean().item<double>();
}

double perplexity(const torch::Tensor& assignments) {
  return std::exp(entropy(checked_matrix(assignments, "perplexity").mean(0)).item<double>());
}

}  // namespace ivory
