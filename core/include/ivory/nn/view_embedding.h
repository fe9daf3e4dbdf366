#pragma once
// Projection heads, and unit embeddings of the views of a batch (method.md §2, §5).

#include <ivory/model.h>
#include <ivory/options.h>

#include <vector>

namespace ivory::nn {

// "head_width" and "embedding_width".
std::vector<Option> projection_head_options();
// input width → head_width (batch norm, ReLU) → embedding_width.
torch::nn::Sequential projection_head(int64_t input_width, const Options& options);

// Pooled features [V·B, width] of V views [B, 1, …] of slices or volumes, view by view. The model runs once on all
// consecutive views of one size.
torch::Tensor pooled_views(Model& model, const std::vector<torch::Tensor>& views);

// Unit rows [V·B, embedding_width] of the views, at least fp32. The head runs once on everything, so that its batch
// norm sees all views.
torch::Tensor embed_views(Model& model, torch::nn::Sequential& head, const std::vector<torch::Tensor>& views);

}  // namespace ivory::nn
