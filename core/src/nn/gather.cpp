#include <ivory/nn/gather.h>

namespace ivory::nn {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void keep_group(AutogradContext* context, const Collective& group) {
  context->saved_data["group"] = reinterpret_cast<int64_t>(&group);  // it outlives the step
}

// The gradient of the processes' mean loss times their number: the trainer divides it again.
Tensor joint_gradient(AutogradContext* context, const Tensor& gradient) {
  Tensor sum = gradient.clone(torch::MemoryFormat::Contiguous);
  reinterpret_cast<const Collective*>(context->saved_data["group"].toInt())->all_reduce_sum(sum);
  return sum;
}

class Gather : public torch::autograd::Function<Gather> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& rows, const Collective& group) {
    const Tensor counts = group.all_gather(torch::tensor({rows.size(0)}, torch::kLong));  // on the CPU
    keep_group(context, group);
    context->saved_data["begin"] = counts.narrow(0, 0, group.rank()).sum().item<int64_t>();
    context->saved_data["count"] = rows.size(0);
    return group.all_gather(rows.detach());
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const int64_t begin = context->saved_data["begin"].toInt(), count = context->saved_data["count"].toInt();
    return {joint_gradient(context, gradients[0]).narrow(0, begin, count), Tensor()};
  }
};

class AllReduceSum : public torch::autograd::Function<AllReduceSum> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x, const Collective& group) {
    keep_group(context, group);
    Tensor sum = x.detach().clone();
    group.all_reduce_sum(sum);
    return sum;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    return {joint_gradient(context, gradients[0]), Tensor()};
  }
};

}  // namespace

Tensor gather(const Tensor& rows, const Collective& group) {
  return group.world_size() == 1 ? rows : Gather::apply(rows, group);
}

Tensor all_reduce_sum(const Tensor& x, const Collective& group) {
  return group.world_size() == 1 ? x : AllReduceSum::apply(x, group);
}

}  // namespace ivory::nn
