#include <ivory/error.h>

#include <torch/csrc/distributed/c10d/reducer.hpp>

#include "train/joined_group.h"
#include "train/process_group.h"

namespace ivory::train {
namespace {

constexpr size_t first_bucket = 1 << 20, bucket = 25 << 20;  // bytes; PyTorch's DistributedDataParallel has the same

// The Reducer remarks once that no parameter was unused (another step's objective may leave some out) and that strides
// of 1 × 1 convolutions differ (those of dimensions of size 1).
class Silence : public c10::WarningHandler {
 public:
  void process(const c10::Warning&) override {}
};

class ReducerAverage : public GradientAverage {
 public:
  ReducerAverage(const JoinedGroup& group, const NamedTensors& parameters) : group_(group) {
    std::vector<torch::Tensor> tensors;
    std::unordered_map<size_t, std::string> names;
    for (const auto& [name, parameter] : parameters) {
      names[tensors.size()] = name;
      tensors.push_back(parameter);
    }
    check_same(tensors);
    const std::vector<bool> dense(tensors.size(), false);
    const auto assigned = c10d::compute_bucket_assignment_by_size(tensors, {first_bucket, bucket}, dense);
    const auto& buckets = std::get<0>(assigned);
    reducer_ = std::make_unique<c10d::Reducer>(
        tensors, std::vector<std::vector<size_t>>(buckets.rbegin(), buckets.rend()), group.process_group(), dense,
        static_cast<int64_t>(bucket), /*find_unused_parameters=*/true, /*gradient_as_bucket_view=*/false, names,
        static_cast<int64_t>(first_bucket), /*skip_all_reduce_unused_params=*/false, /*use_python_reducer=*/false,
        std::vector<int64_t>{});
  }

  void before_forward() override {
    reducer_->prepare_for_forward();
    reducer_->rebuild_buckets();
  }
  void last_backward(const torch::Tensor& loss) override {
    Silence silence;
    const c10::WarningUtils::WarningHandlerGuard guard(&silence);
    reducer_->prepare_for_backward({loss});
    loss.backward();
  }

 private:
  void check_same(const std::vector<torch::Tensor>& tensors) const {
    try {
      c10d::verify_params_across_processes(group_.process_group(), tensors, std::nullopt);
    } catch (const c10::Error& error) {
      throw run_failed("the processes of this stage do not train the same parameters: ", error.what_without_backtrace(),
                       "; did all of them read the same experiment?");
    }
  }

  const JoinedGroup& group_;
  std::unique_ptr<c10d::Reducer> reducer_;
};

}  // namespace

std::unique_ptr<GradientAverage> average_gradients(const Collective& group, const NamedTensors& parameters) {
  return std::make_unique<ReducerAverage>(dynamic_cast<const JoinedGroup&>(group), parameters);
}

}  // namespace ivory::train
