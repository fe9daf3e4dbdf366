#pragma once
// A network of a few numbers, trained by the loop that stages and tasks share.
#include <gtest/gtest.h>
#include <unistd.h>

#include "support/golden.h"
#include "support/quiet.h"
#include "train/train_loop.h"

namespace ivory::train {

constexpr int64_t tiny_batch = 8, tiny_steps_per_epoch = 3;

// Mean squared error of a two-layer network on numbers that depend on the step only. Its epoch hook changes a buffer,
// so that one call too many, or too few, shows in the weights.
class TinyTrainee : public Trainee {
 public:
  explicit TinyTrainee(torch::ScalarType type = torch::kDouble, double dropout = 0.2) : type_(type) {
    torch::manual_seed(1);
    net_ = torch::nn::Sequential(torch::nn::Linear(6, 5), torch::nn::Tanh(), torch::nn::Dropout(dropout),
                                 torch::nn::Linear(5, 2));
    net_->register_buffer("epochs_begun", torch::ones({1}));
    net_->to(type);
  }

  torch::nn::Module& model() override { return *net_; }
  NamedTensors extra_state() const override { return {{"extra", extra_}}; }
  NamedTensors parameters() const override {
    NamedTensors parameters;
    for (const auto& p : net_->named_parameters()) parameters.emplace_back(p.key(), p.value());
    return parameters;
  }
  int64_t steps_per_epoch() const override { return tiny_steps_per_epoch; }
  int64_t images_per_step() const override { return tiny_batch; }

  void seek(int64_t step) override { next_ = step; }
  void load() override {
    x_ = test::fill({tiny_batch, 6}, static_cast<uint64_t>(10 + next_)).to(type_);
    y_ = test::fill({tiny_batch, 2}, static_cast<uint64_t>(1000 + next_)).to(type_);
    ++next_;
  }
  size_t parts() const override { return 1; }
  double weight(size_t) const override { return 1; }
  LossTerms loss(size_t, int64_t micro, int64_t count) override {
    const int64_t size = tiny_batch / count;
    const auto x = x_.narrow(0, micro * size, size), y = y_.narrow(0, micro * size, size);
    const auto error = net_->forward(x * net_->named_buffers()["epochs_begun"]) - y;
    LossTerms terms = {{"error", error.square().mean()}, {"penalty", 1e-3 * net_->parameters()[0].square().sum()}};
    if (next_ == poisoned_step) terms.back().second = terms.back().second * poison;
    if (next_ == overflowing_step) terms.back().second = (net_->parameters()[0] * 0).sqrt().sum();
    if (on_loss) on_loss();
    return terms;
  }
  Diagnostics diagnostics() override { return {{"never_finite", std::numeric_limits<double>::quiet_NaN()}}; }

  void before_epoch(const Position&) override {
    const torch::NoGradGuard no_grad;
    net_->named_buffers()["epochs_begun"].mul_(0.9 + 0.01 * torch::rand({1}).to(type_));
    if (on_epoch) on_epoch();
  }
  void after_step(const Position& at) override {
    extra_.add_(torch::rand({2}));
    if (on_step) on_step(at.step);
  }
  EpochEnd after_epoch(const Position& at, const std::map<std::string, double>&, bool) override {
    EpochEnd end;
    if (static_cast<size_t>(at.epoch) < scores.size()) end.score = scores[static_cast<size_t>(at.epoch)];
    return end;
  }

  // Every number that training changes.
  torch::Tensor everything() const {
    std::vector<torch::Tensor> all = {extra_.to(torch::kDouble)};
    for (const auto& [name, tensor] : state_of(*net_)) all.push_back(tensor.detach().to(torch::kDouble).flatten());
    return torch::cat(all);
  }

  std::vector<double> scores;  // of each epoch
  int64_t poisoned_step = 0;   // from 1; the second term is `poison` times itself there
  double poison = 1;
  int64_t overflowing_step = 0;  // from 1; there the loss is finite and its gradient is not
  std::function<void()> on_epoch, on_loss;
  std::function<void(int64_t)> on_step;

 private:
  torch::ScalarType type_;
  torch::nn::Sequential net_{nullptr};
  torch::Tensor extra_ = torch::zeros({2});
  torch::Tensor x_, y_;
  int64_t next_ = 0;
};

// A folder of its own, and no stop requested, for each test.
class TinyTraining : public testing::Test {
 protected:
  TinyTraining() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ivory-train-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    stop_requested() = false;
  }
  ~TinyTraining() override {
    stop_requested() = false;
    std::filesystem::remove_all(folder_);
  }

  std::filesystem::path folder(const std::string& name) const { return folder_ / name; }
  NodeContext context(const std::string& name) const {
    return {.folder = folder(name), .label = "stage tiny", .identity = "tiny", .seed = 5};
  }
  static config::TrainSpec spec(int64_t epochs = 3) {
    config::TrainSpec spec{.epochs = epochs, .batch_size = tiny_batch};
    spec.optimiser.lr = 0.1;
    return spec;
  }
  // Trains to the end, or until it throws.
  LoopResult run(TinyTrainee& trainee, const config::TrainSpec& spec, const std::string& name) const {
    const NodeContext in = context(name);
    return TrainLoop(trainee, spec, in).run();
  }
  // What the run threw; "" when it came to its end.
  std::string failure(TinyTrainee& trainee, const config::TrainSpec& spec, const std::string& name) const {
    try {
      run(trainee, spec, name);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::run_failed);
      return error.what();
    }
    return "";
  }

 private:
  test::Quiet quiet_;
  std::filesystem::path folder_;
};

}  // namespace ivory::train
