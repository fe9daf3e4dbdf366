#pragma once
// Embeddings of earlier batches.

#include <ivory/torch.h>

#include <vector>

namespace ivory::nn {

// A first-in first-out queue of embeddings, one per assignment crop, used only once full.
class FeatureQueueImpl : public torch::nn::Module {
 public:
  FeatureQueueImpl(int64_t crops, int64_t length, int64_t width);
  bool full() const;
  torch::Tensor features(int64_t crop) const;  // [length, width]
  // One tensor [B, width] per crop, of all processes; the oldest B leave. length must be a multiple of B.
  void push(const std::vector<torch::Tensor>& embeddings);

  torch::Tensor store;   // [crops, length, width]
  torch::Tensor filled;  // int64 scalar
};
TORCH_MODULE(FeatureQueue);

}  // namespace ivory::nn
