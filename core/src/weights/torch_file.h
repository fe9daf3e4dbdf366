#pragma once
// Files of Python's torch.save: zip archives (torch ≥ 1.6) and the older plain pickles; and archives that Python's
// torch.load(weights_only=True) reads. Nothing of a file is ever executed.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "weights/safetensors.h"

namespace ivory::train {

struct TorchFile {
  // Every tensor by its path joined with '.': "state_dict.module.conv1.weight", "optimizer.state.0.exp_avg"; metadata
  // are the numbers and texts of the outer dictionaries, as texts.
  TensorFile content;
  std::vector<std::string> opaque;  // classes and functions named in the file that Ivory does not know
};

// Throws bad_request on anything malformed or dangerous: truncated archives, records that claim more bytes than the
// file has, tensors beyond their storage, calls that run code.
TorchFile load_torch(const std::filesystem::path& file);

// Whether a file that begins so is one of torch.save before torch 1.6, with any of Python's protocols of pickles.
bool is_legacy_torch(std::string_view start);

// One flat dictionary, as of torch.save(state_dict, file). Written to a temporary name, fsynced, renamed. Throws
// bad_request on types without a storage class in Python (uint16, uint32, uint64, float8).
void save_torch(const std::filesystem::path& file, const NamedTensors& tensors);

}  // namespace ivory::train
