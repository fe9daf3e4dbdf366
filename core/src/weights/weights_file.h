#pragma once
// Weights of any file that Ivory reads, and how their names map to a network's.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "weights/safetensors.h"

namespace ivory::train {

struct WeightsFile {
  std::string format;  // "safetensors", "torch"
  TensorFile content;
  std::vector<std::string> opaque;  // of torch files: named classes that were not made
};
// Recognised by content. A folder stands for the weights.safetensors in it. Throws bad_request with one sentence.
WeightsFile load_weights_file(const std::filesystem::path& file);

// The tensors below a prefix, without it.
NamedTensors below(const std::string& prefix, const NamedTensors& tensors);

struct NameMapping {
  std::string prefix;               // in the file, of the module's own names: "state_dict.module.", "encoder.", ""
  int64_t matched = 0;              // tensors
  std::vector<std::string> others;  // prefixes below which as much matches: a second copy, such as a moving average
};
// The prefix below which most of the module's parameters are found; the first in the file among equals.
NameMapping find_prefix(const torch::nn::Module& module, const NamedTensors& tensors);

// Finds the prefix (unless it is given) and loads what is below, by the module's own names (nn::ForeignWeights). Throws
// bad_request, naming what was found, when less than `min_match` of the parameters match or one of the tensors holds
// NaN or an infinite value.
struct MappedReport {
  NameMapping mapping;
  LoadReport report;
  std::string summary() const;  // one line
};
MappedReport load_mapped(torch::nn::Module& module, const NamedTensors& tensors, double min_match,
                         const std::optional<std::string>& prefix = {});

// Throws bad_request naming the first tensor that holds NaN or an infinite value.
void require_finite(const NamedTensors& tensors);

}  // namespace ivory::train
