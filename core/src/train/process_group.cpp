#include "train/process_group.h"

#include <ivory/error.h>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "plugin/library.h"
#include "train/joined_group.h"

namespace ivory::train {
namespace {

// Others may wait for the first one's cache, or for a stage that another command has: hours. One that ends closes its
// connections, which ends the waiting at once.
constexpr std::chrono::seconds to_meet(120), to_answer(24 * 3600);
constexpr std::chrono::seconds to_reduce(1800);  // a gradient, by NCCL

std::string first_line(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

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

using Type = c10d::ProcessGroup::BackendType;
using Backend = c10::intrusive_ptr<c10d::Backend>;

// NCCL lives in the CUDA library, which is loaded on machines with a GPU only.
void add_nccl(c10d::ProcessGroup& group, const c10::intrusive_ptr<c10d::Store>& store, int rank, int size) {
  using Make = c10d::Backend*(const c10::intrusive_ptr<c10d::Store>&, int, int, int64_t);
  auto* make = plugin::load_symbol<Make>("libivory_cuda.so", "ivory_cuda_nccl");
  Backend nccl = Backend::reclaim(make(store, rank, size, to_reduce.count()));
  group.setBackend(c10::kCUDA, Type::NCCL, nccl);
}

c10::intrusive_ptr<c10d::ProcessGroup> make_group(const Launch& launch) {
  const auto store = meet(launch);
  const int rank = static_cast<int>(launch.rank), size = static_cast<int>(launch.world_size);
  auto options = c10d::ProcessGroupGloo::Options::create(to_answer);
  options->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
  auto group = c10::make_intrusive<c10d::ProcessGroup>(store, rank, size);
  const Backend gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, options);
  group->setDefaultBackend(Type::GLOO);
  group->setBackend(c10::kCPU, Type::GLOO, gloo);
  if (torch::cuda::is_available()) add_nccl(*group, store, rank, size);
  return group;
}

}  // namespace

// A process that ends closes its connections: the others' collectives then fail with a text about sockets.
template <class Call>
void together(const JoinedGroup& group, const Call& call) {
  try {
    call();
  } catch (const std::exception& error) {
    throw run_failed("process ", group.rank(), " of ", group.world_size(),
                     " lost another one, whose own message says why (", first_line(error), ")");
  }
}

c10::intrusive_ptr<c10d::Backend> JoinedGroup::backend_of(const torch::Tensor& tensor) const {
  return group_->getBackend(tensor.device().type());
}

void JoinedGroup::all_reduce_sum(torch::Tensor& tensor) const {
  std::vector<torch::Tensor> tensors = {tensor.is_contiguous() ? tensor : tensor.contiguous()};
  together(*this, [&] { backend_of(tensor)->allreduce(tensors)->wait(); });
  if (!tensor.is_same(tensors[0])) tensor.copy_(tensors[0]);
}

// Processes may bring different numbers of rows: all are padded to the most for the exchange.
torch::Tensor JoinedGroup::all_gather(const torch::Tensor& tensor) const {
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
  together(*this, [&] { backend_of(tensor)->allgather(parts, input)->wait(); });
  for (int64_t r = 0; r < world_size_; ++r) parts[0][r] = parts[0][r].narrow(0, 0, rows[r].item<int64_t>());
  return torch::cat(parts[0]);
}

void JoinedGroup::broadcast(torch::Tensor& tensor) const {
  std::vector<torch::Tensor> tensors = {tensor.contiguous()};
  together(*this, [&] { backend_of(tensor)->broadcast(tensors)->wait(); });
  if (!tensor.is_same(tensors[0])) tensor.copy_(tensors[0]);
}

void JoinedGroup::barrier() const {
  together(*this, [&] { group_->getDefaultBackend()->barrier()->wait(); });
}

std::unique_ptr<Collective> join(const Launch& launch) {
  try {
    return std::make_unique<JoinedGroup>(make_group(launch), launch.rank, launch.world_size);
  } catch (const std::exception& error) {
    throw run_failed("process ", launch.rank, " of ", launch.world_size, " could not meet the others at ", launch.host,
                     ":", launch.port, ": ", first_line(error));
  }
}

bool any(bool mine, const Collective& group) {
  if (group.world_size() == 1) return mine;
  torch::Tensor count = torch::full({1}, int64_t{mine}, torch::kLong);
  group.all_reduce_sum(count);
  return count.item<int64_t>() > 0;
}

}  // namespace ivory::train
