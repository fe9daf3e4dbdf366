#pragma once
// Scores of predictions against the truth (method.md §7).

#include <ivory/task.h>

#include <cstdint>
#include <string>
#include <vector>

namespace ivory {

// Counts over a volume or an image, summed slice by slice.
struct Overlap {
  int64_t intersection = 0;
  int64_t prediction = 0;
  int64_t truth = 0;

  // Two boolean tensors of one shape.
  void add(const torch::Tensor& predicted, const torch::Tensor& expected);
  bool both_empty() const { return prediction == 0 && truth == 0; }
  // |P ∩ T| / |P ∪ T|. Empty truth with an empty prediction scores 1, with a non-empty one 0.
  double iou() const;
  // 2 |P ∩ T| / (|P| + |T|), empty as above.
  double dice() const;
  // (|P| − |T|) / |T|: above 0 where too much was predicted. NaN for empty truth.
  double volume_error() const;
};

// Area under the ROC curve by ranks, ties counted half; scores [N], labels [N] of 0 and 1. Throws when a class is
// absent.
double auc(const torch::Tensor& scores, const torch::Tensor& labels);
// 95 % of the values that a figure takes when scans are drawn anew, with replacement.
struct Interval {
  double low = 0, high = 0;
  int64_t undefined = 0;  // of the draws, in which the figure is not defined: not counted in
};
// Of auc(), between the 2.5 % and the 97.5 % quantile (linear) of `draws` bootstraps over scans: whole scans are drawn,
// since candidates of one scan are alike. scans [N] int64: any ids. A function of the arguments alone.
Interval auc_interval(const torch::Tensor& scores, const torch::Tensor& labels, const torch::Tensor& scans,
                      int64_t draws = 2000, uint64_t seed = 1);
// "auc", the mean over the classes, and "auc/<class>" of each; predicted, truth (0 and 1): [N, C]. A class that every
// sample has, or none, has no AUC and is left out; counts are the samples that have it. Throws when no class has an
// AUC. `task` and `samples` are for the texts: "linear-probe", "slices".
Scores auc_scores(const torch::Tensor& predicted, const torch::Tensor& truth, const std::vector<std::string>& classes,
                  const std::string& task, const std::string& samples);

// exp of the entropy of the normalised singular values of [N, D] (Roy & Vetterli 2007): between 1 and min(N, D). 1 when
// all features are zero, NaN when one is not finite.
double effective_rank(const torch::Tensor& features);

// Nats. assignments [N, H]: rows sum to 1.
double mean_row_entropy(const torch::Tensor& assignments);
// exp of the entropy of the mean row: how many prototypes are in use, between 1 and H.
double perplexity(const torch::Tensor& assignments);

}  // namespace ivory
