#include <ivory/nn/crop_embedding.h>

namespace ivory::nn {

namespace F = torch::nn::functional;

std::vector<Option> projection_head_options() {
  return {
      {.name = "head_width", .fallback = int64_t{2048}, .help = "Hidden width of the projection head.", .minimum = 1},
      {.name = "embedding_width",
       .fallback = int64_t{128},
       .help = "Width of the embeddings that are clustered.",
       .minimum = 2}};
}

torch::nn::Sequential projection_head(int64_t input_width, const Options& options) {
  const auto hidden = options.get<int64_t>("head_width"), width = options.get<int64_t>("embedding_width");
  return torch::nn::Sequential(torch::nn::Linear(input_width, hidden), torch::nn::BatchNorm1d(hidden),
                               torch::nn::ReLU(torch::nn::ReLUOptions(true)), torch::nn::Linear(hidden, width));
}

torch::Tensor embed_crops(Model& model, torch::nn::Sequential& head, const std::vector<torch::Tensor>& views) {
  std::vector<torch::Tensor> pooled;  // per size [n·B, slice width]
  for (auto first = views.begin(); first != views.end();) {
    const auto last = std::find_if(first, views.end(), [&](const auto& v) { return v.size(-1) != first->size(-1); });
    pooled.push_back(model.slices(torch::cat(std::vector<torch::Tensor>(first, last))).pooled);
    first = last;
  }
  auto z = head->forward(torch::cat(pooled));  // [V·B, width]
  if (z.scalar_type() != torch::kDouble) z = z.to(torch::kFloat);
  return F::normalize(z, F::NormalizeFuncOptions().dim(1));
}

}  // namespace ivory::nn
