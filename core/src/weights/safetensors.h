#pragma once
// safetensors: u64 little-endian header length, JSON header (≤ 100 MB), then a buffer without holes.

#include <ivory/torch.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace ivory::train {

// The weights in a node's folder and in a checkpoint.
inline constexpr const char* weights_name = "weights.safetensors";

using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

struct TensorFile {
  NamedTensors tensors;                         // in the order of the file
  std::map<std::string, std::string> metadata;  // __metadata__
};

// Replaces the file durably and returns base::hash_file() of it. Throws base::write_failed.
std::string save_safetensors(const std::filesystem::path& file, const TensorFile& content);
// Throws bad_request on anything malformed: overlapping or out-of-range offsets, unknown dtypes, a header over 100 MB,
// …
TensorFile load_safetensors(const std::filesystem::path& file);

struct LoadReport {
  std::vector<std::string> matched, missing, unexpected, mismatched;  // names; mismatched: shapes differ
  double share = 0;                                                   // of the module's parameters, by element count
  std::string summary() const;                                        // one line
};
// Copies by name into parameters and buffers. Throws bad_request below min_share.
LoadReport load_into(torch::nn::Module& module, const NamedTensors& tensors, double min_share);
// Parameters, then buffers, by name.
NamedTensors state_of(const torch::nn::Module& module);

}  // namespace ivory::train
