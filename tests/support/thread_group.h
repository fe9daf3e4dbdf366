#pragma once
// Several "processes" of a data-parallel stage as threads of one test.
#include <ivory/collective.h>

#include <barrier>
#include <functional>
#include <thread>
#include <vector>

namespace ivory::test {

class ThreadGroup {
 public:
  explicit ThreadGroup(int64_t size) : barrier_(size), slots_(size) {}

  // Runs body in `size` threads, each with its own member of the group, and waits for them.
  void run(const std::function<void(const Collective&)>& body) {
    std::vector<std::thread> threads;
    for (size_t rank = 0; rank < slots_.size(); ++rank) {
      threads.emplace_back([&, rank] { body(Member(*this, static_cast<int64_t>(rank))); });
    }
    for (auto& thread : threads) thread.join();
  }

 private:
  class Member : public Collective {
   public:
    Member(ThreadGroup& group, int64_t rank) : group_(group), rank_(rank) {}
    int64_t rank() const override { return rank_; }
    int64_t world_size() const override { return static_cast<int64_t>(group_.slots_.size()); }
    void all_reduce_sum(torch::Tensor& tensor) const override { tensor.copy_(torch::stack(exchange(tensor)).sum(0)); }
    torch::Tensor all_gather(const torch::Tensor& tensor) const override { return torch::cat(exchange(tensor)); }
    void broadcast(torch::Tensor& tensor) const override { tensor.copy_(exchange(tensor)[0]); }
    void barrier() const override { group_.barrier_.arrive_and_wait(); }

   private:
    std::vector<torch::Tensor> exchange(const torch::Tensor& tensor) const {
      group_.slots_[rank_] = tensor.clone();
      barrier();
      auto all = group_.slots_;
      barrier();  // nobody overwrites a slot before everybody has read it
      return all;
    }
    ThreadGroup& group_;
    int64_t rank_;
  };

  std::barrier<> barrier_;
  std::vector<torch::Tensor> slots_;
};

}  // namespace ivory::test
