#pragma once
// What methods that compare two views of a sample have in common: heads, unit rows, checks, a measure of collapse.

#include <ivory/nn/view_embedding.h>
#include <ivory/objective.h>

#include <string>
#include <vector>

namespace ivory::nn {

// A head: Linear, batch normalisation and ReLU per hidden layer, then Linear; its modules are numbered as they come.
struct HeadSpec {
  enum class Norm { none, hidden, all };     // which layers batch normalisation follows
  enum class Last { affine, scale, plain };  // the last one's parameters: γ and β, γ alone, none

  std::vector<int64_t> widths;  // of the input, the hidden layers and the output
  Norm norm = Norm::hidden;
  bool bias = true;  // of the linear layers
  Last last = Last::affine;
};
torch::nn::Sequential comparison_head(const HeadSpec& spec);

// Rows of unit length, at least in fp32; a row of zeros stays one.
torch::Tensor unit_rows(const torch::Tensor& rows);

// Throws bad_request unless a sample has two views and the joint batch two samples; 0 stands for "not known yet".
void check_pairs(const std::string& method, const Objective::Context& context);

// Throws bad_request where `bytes` are more than the machine's memory; `what` names the setting that asks for them.
void check_memory(const std::string& what, double bytes);

// effective_rank of embeddings [N, width]: a finding below 2 dimensions.
Measure embedding_rank(const torch::Tensor& embeddings);

}  // namespace ivory::nn
