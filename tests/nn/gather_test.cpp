#include <ivory/nn/gather.h>

#include "support/golden.h"
#include "support/thread_group.h"

namespace {

using ivory::Collective;
using ivory::nn::all_reduce_sum;
using ivory::nn::gather;
using ivory::test::fill;
using ivory::test::ThreadGroup;
using torch::Tensor;

constexpr int64_t batch = 8, width = 3;

// Whether every process computes the loss of the joint batch, or each the mean over its own rows' terms.
enum class Loss { joint, own_rows };

// Each row against all rows, as contrastive losses have it, and a term of the joint mean.
Tensor loss_of(const Tensor& rows, Loss kind, const Collective& group) {
  const Tensor all = gather(rows, group);                          // [batch, width]
  const Tensor mean = all_reduce_sum(rows.sum(0), group) / batch;  // [width]
  const Tensor& anchors = kind == Loss::joint ? all : rows;        // [n, width]
  return anchors.matmul(all.t()).logsumexp(1).mean() + mean.pow(3).sum();
}

// The gradient of a linear layer, averaged over the processes as the trainer does.
Tensor averaged_gradient(const Collective& group, Loss kind) {
  const Tensor weight = fill({width, 5}, 1).requires_grad_();
  const int64_t mine = batch / group.world_size();
  const Tensor inputs = fill({batch, 5}, 2).narrow(0, group.rank() * mine, mine);
  loss_of(inputs.matmul(weight.t()).tanh(), kind, group).backward();
  Tensor gradient = weight.grad().clone();
  group.all_reduce_sum(gradient);
  return gradient / static_cast<double>(group.world_size());
}

class Gather : public testing::TestWithParam<Loss> {};

TEST_P(Gather, ProcessesHaveTheGradientOfOne) {
  const Tensor expected = averaged_gradient(Collective::alone(), GetParam());
  for (const int64_t processes : {2, 4}) {
    std::vector<Tensor> found(processes);
    ThreadGroup::run(processes,
                     [&](const Collective& group) { found[group.rank()] = averaged_gradient(group, GetParam()); });
    for (const Tensor& gradient : found) {
      // Double precision; only the order of summation differs.
      EXPECT_LT((gradient - expected).abs().max().item<double>(), 1e-13) << processes << " processes";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Losses, Gather, testing::Values(Loss::joint, Loss::own_rows),
                         [](const auto& kind) { return kind.param == Loss::joint ? "Joint" : "OwnRows"; });

TEST(Gather, RowsOfDifferentNumbersGetTheirOwnGradients) {
  std::vector<Tensor> gradients(3);
  ThreadGroup::run(3, [&](const Collective& group) {
    const Tensor rows = fill({group.rank() + 1, 2}, 1).requires_grad_();
    const Tensor all = gather(rows, group);
    EXPECT_EQ(all.size(0), 1 + 2 + 3);
    (all * torch::arange(6).view({6, 1})).sum().backward();
    gradients[group.rank()] = rows.grad();
  });
  EXPECT_TRUE(torch::equal(gradients[1].select(1, 0), 3 * torch::tensor({1.0, 2.0}, torch::kDouble)));
  EXPECT_TRUE(torch::equal(gradients[2].select(1, 1), 3 * torch::tensor({3.0, 4.0, 5.0}, torch::kDouble)));
}

TEST(Gather, OneProcessIsTheIdentity) {
  const Tensor rows = fill({2, 2}, 1);
  EXPECT_TRUE(gather(rows, Collective::alone()).is_same(rows));
  EXPECT_TRUE(all_reduce_sum(rows, Collective::alone()).is_same(rows));
}

}  // namespace
