// Tensors by name: out of a module, and into one.
#include <ivory/error.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "weights/safetensors.h"

namespace ivory::train {
namespace {

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
  return text;
}

std::string example(const char* what, const std::vector<std::string>& names) {
  if (names.empty()) return "";
  return c10::str(", ", names.size(), " ", what, " (e.g. ", names.front(), ")");
}

// RGB weights in a network for grey images or volumes: conv1 [C, 3, k, k] is summed over RGB (method.md §1).
torch::Tensor fit(const torch::Tensor& source, const torch::Tensor& target) {
  const bool kernels = source.dim() >= 4 && target.dim() == source.dim();
  const bool grey = kernels && source.size(1) == 3 && target.size(1) == 1;
  return grey ? source.sum(1, /*keepdim=*/true) : source;
}

// Without running statistics a network in evaluation normalises by what it began with.
std::string lost_statistics(const std::vector<std::string>& missing) {
  const auto count =
      std::ranges::count_if(missing, [](const std::string& name) { return name.ends_with("running_mean"); });
  if (count == 0) return "";
  return c10::str("; ", count, " batch normalisations keep the running statistics of a fresh network: before it is ",
                  "trained its features mean nothing");
}

}  // namespace

std::string LoadReport::summary() const {
  return c10::str(matched.size(), " tensors matched, ", percent(share), " of the parameters",
                  example("missing", missing), example("unexpected", unexpected),
                  example("of another shape", mismatched), lost_statistics(missing));
}

LoadReport load_into(torch::nn::Module& module, const NamedTensors& tensors, double min_share) {
  const torch::NoGradGuard no_grad;
  std::unordered_map<std::string, torch::Tensor> sources(tensors.begin(), tensors.end());
  LoadReport report;
  std::unordered_set<std::string> expected;
  int64_t elements = 0, loaded = 0;
  const auto load = [&](const std::string& name, torch::Tensor target) {
    expected.insert(name);
    const auto found = sources.find(name);
    if (found == sources.end()) {
      report.missing.push_back(name);
      return false;
    }
    const torch::Tensor source = fit(found->second, target);
    if (source.sizes() != target.sizes()) {
      report.mismatched.push_back(c10::str(name, ": ", found->second.sizes(), " for ", target.sizes()));
      return false;
    }
    target.copy_(source);
    report.matched.push_back(name);
    return true;
  };
  for (const auto& parameter : module.named_parameters()) {
    elements += parameter.value().numel();
    if (load(parameter.key(), parameter.value())) loaded += parameter.value().numel();
  }
  for (const auto& buffer : module.named_buffers()) load(buffer.key(), buffer.value());
  for (const auto& [name, tensor] : tensors) {
    if (!expected.count(name)) report.unexpected.push_back(name);
  }
  report.share = elements ? static_cast<double>(loaded) / static_cast<double>(elements) : 1;
  IVORY_CHECK(report.share >= min_share, "these weights do not fit the network: ", report.summary(), "; at least ",
              percent(min_share), " of its parameters must match");
  return report;
}

NamedTensors state_of(const torch::nn::Module& module) {
  NamedTensors state;
  for (const auto& parameter : module.named_parameters()) state.emplace_back(parameter.key(), parameter.value());
  for (const auto& buffer : module.named_buffers()) state.emplace_back(buffer.key(), buffer.value());
  return state;
}

}  // namespace ivory::train
