#pragma once
// Networks whose public weights have other names or shapes than the network itself.

#include <ivory/torch.h>

#include <string>
#include <utility>
#include <vector>

namespace ivory::nn {

// Every load of weights into a backbone or a decoder that is one of these goes through own_names() first.
class ForeignWeights {
 public:
  using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

  virtual ~ForeignWeights();
  // The file's tensors under this network's own names, below whatever prefix they have; those that it does not know are
  // unchanged. Throws bad_request where the weights belong to another variant of the network.
  virtual NamedTensors own_names(const NamedTensors& file) const = 0;
};

}  // namespace ivory::nn
