#include "train/process_group.h"

#include <ivory/error.h>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

namespace ivory::train {
namespace {

constexpr std::chrono::seconds to_meet(120), to_answer(1800);

c10::intrusive_ptr<c10d::Store> meet(const Launch& launch) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(launch.port);
  options.numWorkers = launch.world_size;
  options.waitWorkers = false;
  options.isServer = launch.rank == 0 && !launch.agent_store;
  options.timeout = to_meet;
  auto store = c10::make_intrusive<c10d::TCPStore>(launch.host, options);
  return c10::make_intrusive<c10d::PrefixStore>("ivory/" + launch.attempt, store);
}

class GlooGroup : public Collective {
 public:
  explicit GlooGroup(const Launch& launch) : rank_(launch.rank), world_size_(launch.world_size) {
    auto options = c10d::ProcessGroupGloo::Options::create(to_answer);
    options->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
    group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(meet(launch), static_cast<int>(rank_),
                                                         static_cast<int>(world_size_), options);
  }

  int64_t rank() const override { return rank_; }
  int64_t world_size() const override { return world_size_; }

  void all_reduce_sum(torch::Tensor& tensor) const override {
    std::vector<torch::Tensor> tensors = {tensor.is_contiguous() ? tensor : tensor.contiguous()};
    group_->allreduce(tensors)->wait();
    if (!tensor.is_same(tensors[0])) tensor.copy_(tensors[0]);
  }

  // Processes may bring different numbers of rows: all are padded to the most for the exchange.
  torch::Tensor all_gather(const torch::Tensor& tensor) const override {
    torch::Tensor rows = torch::zeros({world_size_}, torch::kLong);
    rows[rank_] = tensor.size(0);
    all_reduce_sum(rows);
    const int64_t most = rows.max().item<int64_t>(), missing = most - tensor.size(0);
    torch::Tensor mine = tensor.contiguous();
    if (missing > 0) {
      auto shape = tensor.sizes().vec();
      shape[0] = missing;
      mine = torch::cat({mine, torch::zeros(shape, tensor.options())});
    }
    std::vector<std::vector<torch::Tensor>> parts(1);
    for (int64_t r = 0; r < world_size_; ++r) parts[0].push_back(torch::empty_like(mine));
    std::vector<torch::Tensor> input = {mine};
    group_->allgather(parts, input)->wait();
    for (int64_t r = 0; r < world_size_; ++r) parts[0][r] = parts[0][r].narrow(0, 0, rows[r].item<int64_t>());
    return torch::cat(parts[0]);
  }

  void broadcast(torch::Tensor& tensor) const override {
    std::vector<torch::Tensor> tensors = {tensor.contiguous()};
    group_->broadcast(tensors)->wait();
    if (!tensor.is_same(tensors[0])) tensor.copy_(tensors[0]);
  }

  void barrier() const override { group_->barrier()->wait(); }

 private:
  int64_t rank_, world_size_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

}  // namespace

std::unique_ptr<Collective> join(const Launch& launch) {
  try {
    return std::make_unique<GlooGroup>(launch);
  } catch (const std::exception& error) {
    const std::string reason = error.what();
    throw run_failed("process ", launch.rank, " of ", launch.world_size, " could not meet the others at ", launch.host,
                     ":", launch.port, ": ", reason.substr(0, reason.find('\n')));
  }
}

}  // namespace ivory::train
