#pragma once
// Several processes of a data-parallel stage, played by threads that share memory: for tests below train/.
#include <ivory/collective.h>

#include <barrier>
#include <functional>
#include <thread>
#include <vector>

namespace ivory::test {

class ThreadGroup {
 public:
  // body(group) in each of `size` members; waits for all of them.
  static void run(int64_t size, const std::function<void(const Collective&)>& body) {
    ThreadGroup shared(size);
    std::vector<std::thread> members;
    for (int64_t rank = 0; rank < size; ++rank) {
      members.emplace_back([&shared, &body, rank] { body(Member(shared, rank)); });
    }
    for (auto& member : members) member.join();
  }

 private:
  class Member : public Collective {
   public:
    Member(ThreadGroup& shared, int64_t rank) : shared_(shared), rank_(rank) {}
    int64_t rank() const override { return rank_; }
    int64_t world_size() const override { return static_cast<int64_t>(shared_.slots_.size()); }
    void all_reduce_sum(torch::Tensor& tensor) const override {
      const torch::NoGradGuard no_grad;
      torch::Tensor sum = torch::zeros_like(tensor);
      for (const auto& one : exchange(tensor)) sum += one;
      tensor.copy_(sum);
    }
    torch::Tensor all_gather(const torch::Tensor& tensor) const override { return torch::cat(exchange(tensor)); }
    void barrier() const override { shared_.barrier_.arrive_and_wait(); }

   private:
    std::vector<torch::Tensor> exchange(const torch::Tensor& mine) const {
      shared_.slots_[rank_] = mine.detach().clone();
      barrier();
      auto all = shared_.slots_;
      barrier();
      return all;
    }
    ThreadGroup& shared_;
    int64_t rank_;
  };

  explicit ThreadGroup(int64_t size) : barrier_(size), slots_(size) {}

  std::barrier<> barrier_;
  std::vector<torch::Tensor> slots_;
};

}  // namespace ivory::test
