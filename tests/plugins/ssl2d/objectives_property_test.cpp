// What holds for all 2D methods: bf16 autocast stays near fp32, a step is the same whatever the order of the batch.
#include <ATen/autocast_mode.h>

#include "plugins/ssl2d/crops.h"

namespace {

using namespace ivory::test;
using torch::Tensor;

struct Case {
  std::string name;
  Settings settings;
  std::vector<int64_t> sizes;
  bool places = false;
  double sharpness = 0.1;  // the temperature that divides cosines, or 1
};

std::ostream& operator<<(std::ostream& out, const Case& one) {
  return out << one.name;
}

class EveryPairMethod : public testing::TestWithParam<Case> {
 protected:
  ivory::Batch batch() const {
    return GetParam().places ? crops(0, GetParam().sizes[0]) : Training::batch(0, GetParam().sizes);
  }
  static double sum(const ivory::LossTerms& terms) {
    double total = 0;
    for (const auto& [name, term] : terms) total += term.item<double>();
    return total;
  }
};

// A cosine of bf16 features is off by about 2^-9, divided by the temperature; over some samples half of that is left.
TEST_P(EveryPairMethod, StaysNearFp32UnderBf16Autocast) {
  Training training(GetParam().name, GetParam().settings);
  training.model->to(torch::kFloat);
  training.objective->to(torch::kFloat);
  training.objective->before_training(*training.model, stage(0, 1000, 8));
  auto of = batch();
  for (auto& view : of.views) view.pixels = view.pixels.to(torch::kFloat);
  training.objective->before_step(*training.model, stage(0, 1000, 8));
  training.objective->eval();  // banks and centres stay
  const double single = sum(training.objective->forward(*training.model, of));
  training.objective->before_step(*training.model, stage(0, 1000, 8));
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const auto terms = training.objective->forward(*training.model, of);
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  for (const auto& [name, term] : terms) EXPECT_EQ(term.scalar_type(), torch::kFloat) << name;
  const double half = sum(terms);
  EXPECT_NE(half, single) << "autocast was on";
  EXPECT_NEAR(half, single, 4 * std::exp2(-9) / GetParam().sharpness * std::max(1.0, std::abs(single)));
}

TEST_P(EveryPairMethod, DoesNotDependOnTheOrderOfTheBatch) {
  Training training(GetParam().name, GetParam().settings);
  training.objective->before_training(*training.model, stage(0, 1000, 8));
  training.objective->eval();
  const auto order = torch::tensor({4, 5, 0, 1, 6, 7, 2, 3});  // neighbours stay together: PCRL mixes them
  auto of = batch(), shuffled = of;
  for (auto& view : shuffled.views) {
    view.pixels = view.pixels.index_select(0, order);
    if (view.place.defined()) view.place = view.place.index_select(0, order);
  }
  shuffled.index = of.index.index_select(0, order);
  training.objective->before_step(*training.model, stage(0, 1000, 8));
  const double expected = sum(training.objective->forward(*training.model, of));
  training.objective->before_step(*training.model, stage(0, 1000, 8));
  EXPECT_NEAR(sum(training.objective->forward(*training.model, shuffled)), expected,
              1e-9 * std::max(1.0, std::abs(expected)));
}

// A step of plain descent on a fixed batch lowers the loss.
TEST_P(EveryPairMethod, LearnsOnAFixedBatch) {
  Training training(GetParam().name, GetParam().settings);
  training.objective->before_training(*training.model, stage(0, 1000, 8));
  // A queue would soon hold the fixed batch's own keys, as others: it stays as it was.
  if (GetParam().name == "moco-v2") training.objective->eval();
  const auto of = batch();
  double first = 0, last = 0;
  for (int64_t step = 0; step < 25; ++step) {
    last = training.step(of, stage(step, 1000, 8));
    if (step == 0) first = last;
    training.descend(stage(step, 1000, 8));
  }
  EXPECT_LT(last, first);
}

const Settings heads = {{"head_width", int64_t{10}}, {"embedding_width", int64_t{4}}};
Settings with(Settings more) {
  more.insert(more.begin(), heads.begin(), heads.end());
  return more;
}

INSTANTIATE_TEST_SUITE_P(
    All, EveryPairMethod,
    testing::Values(
        Case{"simclr", heads, {12, 12}},
        Case{"moco-v2", with({{"queue_length", int64_t{16}}, {"norm_group", int64_t{0}}}), {12, 12}, false, 0.2},
        Case{"barlow-twins", heads, {12, 12}, false, 0.1}, Case{"moco-v3", heads, {12, 12}, false, 0.2},
        Case{"dino",
             {{"outputs", int64_t{12}},
              {"head_width", int64_t{10}},
              {"bottleneck", int64_t{5}},
              {"centre_momentum", 1.0}},
             {12, 12, 8},
             false,
             0.04},
        Case{"pgl-2d", with({{"grid", int64_t{3}}}), {12, 12}, true, 1},
        Case{"pcrl-2d", {{"bank", int64_t{16}}, {"embedding_width", int64_t{5}}}, {14, 14}, false, 0.2}),
    [](const auto& one) {
      std::string name = one.param.name;
      std::erase(name, '-');
      return name;
    });

}  // namespace
