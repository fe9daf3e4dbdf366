#include <ivory/error.h>
#include <ivory/nn/feature_queue.h>

namespace ivory::nn {

FeatureQueueImpl::FeatureQueueImpl(int64_t crops, int64_t length, int64_t width) {
  store = register_buffer("store", torch::zeros({crops, length, width}));
  filled = register_buffer("filled", torch::zeros({}, torch::kLong));
}

bool FeatureQueueImpl::full() const {
  return filled.item<int64_t>() >= store.size(1);
}

torch::Tensor FeatureQueueImpl::features(int64_t crop) const {
  return store[crop];
}

void FeatureQueueImpl::push(const std::vector<torch::Tensor>& embeddings) {
  const torch::NoGradGuard no_grad;
  IVORY_CHECK(static_cast<int64_t>(embeddings.size()) == store.size(0), "the feature queue holds ", store.size(0),
              " crops, but got the embeddings of ", embeddings.size());
  const int64_t batch = embeddings[0].size(0), length = store.size(1);
  IVORY_CHECK(batch > 0 && length % batch == 0, "queue_length = ", length,
              " must be a multiple of the batch size over all processes, which is ", batch);
  const int64_t begin = filled.item<int64_t>() % length;
  for (int64_t crop = 0; crop < store.size(0); ++crop) store[crop].narrow(0, begin, batch).copy_(embeddings[crop]);
  filled += batch;
}

}  // namespace ivory::nn
