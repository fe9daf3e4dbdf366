#pragma once
// Unit embeddings of a slice's crops, as the clustering objectives on slices have them (method.md §2).

#include <ivory/model.h>
#include <ivory/options.h>

#include <vector>

namespace ivory::nn {

// "head_width" and "embedding_width".
std::vector<Option> projection_head_options();
// input width → head_width (batch norm, ReLU) → embedding_width.
torch::nn::Sequential projection_head(int64_t input_width, const Options& options);

// views: V tensors [B, 1, S_v, S_v] → unit rows [V·B, embedding_width], view by view, at least fp32. f_intra runs once
// on all consecutive views of one size; the head runs once on everything, so that its batch norm sees all crops.
torch::Tensor embed_crops(Model& model, torch::nn::Sequential& head, const std::vector<torch::Tensor>& views);

}  // namespace ivory::nn
