#pragma once
// What join() makes: a Collective that hands its process group to c10d's own parts.

#include <ivory/collective.h>

#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

namespace ivory::train {

class JoinedGroup : public Collective {
 public:
  JoinedGroup(c10::intrusive_ptr<c10d::ProcessGroup> group, int64_t rank, int64_t world_size)
      : group_(std::move(group)), rank_(rank), world_size_(world_size) {}

  int64_t rank() const override { return rank_; }
  int64_t world_size() const override { return world_size_; }
  void all_reduce_sum(torch::Tensor& tensor) const override;
  torch::Tensor all_gather(const torch::Tensor& tensor) const override;
  void broadcast(torch::Tensor& tensor) const override;
  void barrier() const override;

  const c10::intrusive_ptr<c10d::ProcessGroup>& process_group() const { return group_; }

 private:
  // Asked without LibTorch's dispatcher, through which the group's own calls go: with several groups in one process, as
  // tests have them in threads, those corrupt memory.
  c10::intrusive_ptr<c10d::Backend> backend_of(const torch::Tensor& tensor) const;

  c10::intrusive_ptr<c10d::ProcessGroup> group_;
  int64_t rank_, world_size_;
};

}  // namespace ivory::train
