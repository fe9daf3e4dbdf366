#include <ivory/error.h>
#include <ivory/nn/clustering.h>

namespace ivory::nn {
namespace {

namespace F = torch::nn::functional;

torch::Tensor at_least_fp32(const torch::Tensor& x) {
  return x.scalar_type() == torch::kDouble ? x : x.to(torch::kFloat);
}

// log Σ exp over the joint batch, per prototype: [B, H] → [1, H].
torch::Tensor joint_log_sum(const torch::Tensor& log_codes, const Collective& group) {
  const auto local = log_codes.logsumexp(0, /*keepdim=*/true);
  if (group.world_size() == 1) return local;
  return group.all_gather(local).logsumexp(0, /*keepdim=*/true);
}

}  // namespace

torch::Tensor sinkhorn(const torch::Tensor& scores, double epsilon, int64_t iterations, const Collective& group) {
  IVORY_CHECK(scores.dim() == 2, "Sinkhorn needs scores [B, H], but got a tensor of shape ", scores.sizes());
  IVORY_CHECK(epsilon > 0 && iterations > 0, "Sinkhorn needs epsilon > 0 and at least one iteration, but got epsilon ",
              epsilon, " and ", iterations, " iterations");
  const torch::NoGradGuard no_grad;
  auto log_codes = at_least_fp32(scores.detach()) / epsilon;  // [B, H]
  // Constant factors (the total mass, 1/H, 1/B) cancel in the last line of the last iteration.
  for (int64_t i = 0; i < iterations; ++i) {
    log_codes = log_codes - joint_log_sum(log_codes, group);
    log_codes = log_codes - log_codes.logsumexp(1, /*keepdim=*/true);
  }
  return log_codes.exp_();
}

torch::Tensor swapped_prediction_loss(const std::vector<torch::Tensor>& codes, const std::vector<torch::Tensor>& scores,
                                      double temperature) {
  const auto assigned = static_cast<int64_t>(codes.size()), views = static_cast<int64_t>(scores.size());
  IVORY_CHECK(assigned >= 1 && views >= 2 && assigned <= views,
              "swapped prediction needs at least 2 crops and at most as many codes as crops, but got ", views,
              " crops and ", assigned, " codes");
  torch::Tensor loss;
  for (int64_t v = 0; v < views; ++v) {
    torch::Tensor targets;  // [B, H], the codes of every assignment crop but this one
    for (int64_t a = 0; a < assigned; ++a) {
      if (a != v) targets = targets.defined() ? targets + codes[a] : codes[a];
    }
    if (!targets.defined()) continue;
    const auto log_p = (at_least_fp32(scores[v]) / temperature).log_softmax(1);
    const auto term = -(targets.detach() * log_p).sum(1).mean();
    loss = loss.defined() ? loss + term : term;
  }
  return loss / static_cast<double>(assigned * (views - 1));
}

torch::Tensor cosine_scores(const torch::Tensor& embeddings, const torch::Tensor& prototypes) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const auto type = torch::promoteTypes(torch::kFloat, embeddings.scalar_type());
  return torch::linear(embeddings.to(type), prototypes.to(type));
}

PrototypesImpl::PrototypesImpl(int64_t width, int64_t count) {
  weight = register_parameter("weight", torch::randn({count, width}));
  normalize();
}

torch::Tensor PrototypesImpl::forward(const torch::Tensor& embeddings) {
  return cosine_scores(embeddings, weight);
}

void PrototypesImpl::normalize() {
  const torch::NoGradGuard no_grad;
  weight.copy_(F::normalize(weight, F::NormalizeFuncOptions().dim(1)));
}

}  // namespace ivory::nn
