#pragma once
// From a pickle's tree to named tensors.

#include <functional>
#include <string>

#include "weights/pickle.h"
#include "weights/torch_file.h"

namespace ivory::train {

// The bytes of a storage by its key, as [bytes] uint8. Throws bad_request when there is no such storage.
using StorageReader = std::function<torch::Tensor(const std::string& key)>;

// Every tensor and scalar below the pickle's root. Throws bad_request when a tensor lies beyond its storage.
TorchFile named_tensors(const Pickle& pickle, const StorageReader& storage, const std::string& where);

// Whether Python has a storage class for it, which files of one flat dictionary name.
bool has_storage_class(torch::ScalarType type);

}  // namespace ivory::train
