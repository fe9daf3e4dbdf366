#include <ivory/metrics.h>
#include <ivory/nn/view_comparison.h>
#include <unistd.h>

#include "nn/cluster_measures.h"

namespace ivory::nn {
namespace {

// γ without β.
class Scale : public torch::nn::Module {
 public:
  explicit Scale(int64_t width) { weight = register_parameter("weight", torch::ones({width})); }
  torch::Tensor forward(const torch::Tensor& x) { return x * weight; }

  torch::Tensor weight;
};

}  // namespace

torch::nn::Sequential comparison_head(const HeadSpec& spec) {
  torch::nn::Sequential head;
  const size_t layers = spec.widths.size() - 1;
  for (size_t l = 0; l < layers; ++l) {
    const bool last = l + 1 == layers;
    const int64_t width = spec.widths[l + 1];
    head->push_back(torch::nn::Linear(torch::nn::LinearOptions(spec.widths[l], width).bias(spec.bias)));
    if (spec.norm == HeadSpec::Norm::all || (spec.norm == HeadSpec::Norm::hidden && !last)) {
      const bool affine = !last || spec.last == HeadSpec::Last::affine;
      head->push_back(torch::nn::BatchNorm1d(torch::nn::BatchNorm1dOptions(width).affine(affine)));
      if (last && spec.last == HeadSpec::Last::scale) head->push_back(std::make_shared<Scale>(width));
    }
    if (!last) head->push_back(torch::nn::ReLU(torch::nn::ReLUOptions(true)));
  }
  return head;
}

torch::Tensor unit_rows(const torch::Tensor& rows) {
  const auto precise = rows.to(torch::promoteTypes(torch::kFloat, rows.scalar_type()));
  return torch::nn::functional::normalize(precise, torch::nn::functional::NormalizeFuncOptions().dim(1).eps(1e-12));
}

void check_pairs(const std::string& method, const Objective::Context& context) {
  IVORY_CHECK(context.views == 0 || context.views == 2, method, " compares 2 views of a sample, but got ",
              context.views);
  IVORY_CHECK(context.batch_size != 1, method,
              " compares the samples of a batch, but got a batch of 1: set batch_size to 2 or more");
}

void check_memory(const std::string& what, double bytes) {
  const double machine = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  constexpr double gib = 1 << 30;
  IVORY_CHECK(bytes <= machine, what, " would take ", bytes / gib, " GiB, but this machine has ", machine / gib,
              " GiB of memory");
}

Measure embedding_rank(const torch::Tensor& embeddings) {
  return rank_measure(effective_rank(embeddings));
}

}  // namespace ivory::nn
