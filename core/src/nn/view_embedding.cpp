#include <ivory/nn/view_embedding.h>

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

torch::Tensor pooled_views(Model& model, const std::vector<torch::Tensor>& views) {
  std::vector<torch::Tensor> pooled;  // per size [n·B, width]
  for (auto first = views.begin(); first != views.end();) {
    const auto last =
        std::find_if(first, views.end(), [&](const auto& v) { return v.sizes().slice(1) != first->sizes().slice(1); });
    pooled.push_back(model.embed(torch::cat(std::vector<torch::Tensor>(first, last))).pooled);
    first = last;
  }
  return torch::cat(pooled);
}

torch::Tensor embed_views(Model& model, torch::nn::Sequential& head, const std::vector<torch::Tensor>& views) {
  auto z = head->forward(pooled_views(model, views));  // [V·B, width]
  if (z.scalar_type() != torch::kDouble) z = z.to(torch::kFloat);
  return F::normalize(z, F::NormalizeFuncOptions().dim(1));
}

}  // namespace ivory::nn
