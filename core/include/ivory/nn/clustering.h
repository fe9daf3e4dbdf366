#pragma once
// What clustering objectives on slices and on volumes share (Eq. 1–5, 11–12).

#include <ivory/collective.h>
#include <ivory/torch.h>

#include <vector>

namespace ivory::nn {

// Eq. 2: codes Q [B, H] of scores [B, H] by Sinkhorn–Knopp in the log domain and fp32 (fp64 stays fp64): equal
// partition over prototypes, rows sum to 1. Row and column sums run over the joint batch of all processes, in every
// iteration.
torch::Tensor sinkhorn(const torch::Tensor& scores, double epsilon, int64_t iterations, const Collective& group);

// Eq. 3–4: codes of each assignment crop against the log-softmax(scores / τ) of every other crop, averaged over crops
// and assignment crops. codes: A tensors [B, H], for the first A crops; scores: V tensors [B, H].
torch::Tensor swapped_prediction_loss(const std::vector<torch::Tensor>& codes, const std::vector<torch::Tensor>& scores,
                                      double temperature);

// Cosines of unit embeddings [N, D] to unit prototypes [H, D] → [N, H], in at least fp32 and outside autocast: a score
// is divided by ε, so that half precision would change the codes.
torch::Tensor cosine_scores(const torch::Tensor& embeddings, const torch::Tensor& prototypes);

// Bias-free prototypes; rows are unit vectors after normalize().
class PrototypesImpl : public torch::nn::Module {
 public:
  PrototypesImpl(int64_t width, int64_t count);
  torch::Tensor forward(const torch::Tensor& embeddings);  // [N, width], unit rows → scores [N, count]
  void normalize();                                        // rows to unit length, in place, outside autograd

  torch::Tensor weight;  // [count, width]
};
TORCH_MODULE(Prototypes);

}  // namespace ivory::nn
