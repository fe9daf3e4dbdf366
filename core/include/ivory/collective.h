#pragma once
// What objectives need of the other processes of a data-parallel stage. One process: everything is the identity.

#include <ivory/torch.h>

namespace ivory {

class Collective {
 public:
  virtual ~Collective() = default;
  virtual int64_t rank() const { return 0; }
  virtual int64_t world_size() const { return 1; }
  virtual void all_reduce_sum(torch::Tensor& /*in place*/) const {}
  // [n, …] of every process, joined along dimension 0 in the order of the ranks.
  virtual torch::Tensor all_gather(const torch::Tensor& tensor) const { return tensor; }
  virtual void broadcast(torch::Tensor& /*in place, from rank 0*/) const {}
  virtual void barrier() const {}

  // One process: everything is the identity.
  static const Collective& alone();
};

}  // namespace ivory
