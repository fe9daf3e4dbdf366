#pragma once
// A small network and a few training steps: what tests/reference/ssl2d.py has.
#include <cmath>

#include "nn/joint_statistics.h"
#include "support/errors.h"
#include "support/golden.h"
#include "support/measures.h"
#include "support/numerical_gradient.h"
#include "support/plugins.h"
#include "support/stage.h"
#include "support/thread_group.h"

namespace ivory::test {

constexpr int64_t small_width = 6;

// A convolution with batch norm: images [N, 1, H, W] → level [N, 6, H / 2, W / 2] → pooled [N, 6]. Of a volume it sees
// twice the mean of its slices; it decodes by repeating.
class SmallModel : public Model {
 public:
  SmallModel() {
    encoder_ = register_module("encoder", std::make_shared<torch::nn::Module>());
    conv_ = encoder_->register_module(
        "conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, small_width, 3).stride(2).padding(1)));
    norm_ = encoder_->register_module("norm", torch::nn::BatchNorm2d(small_width));
    to(torch::kDouble);
  }
  int64_t width(SampleKind) const override { return small_width; }
  Features embed(const torch::Tensor& samples) override {
    const auto images = samples.dim() == 4 ? samples : 2 * samples.mean(2);
    const auto level = torch::gelu(norm_->forward(conv_->forward(images)));
    return {.levels = {level}, .pooled = level.mean({2, 3})};
  }
  torch::Tensor decode(const Features& features) override {
    return features.levels.back().repeat_interleave(2, 2).repeat_interleave(2, 3);
  }
  int64_t dense_width() const override { return small_width; }
  std::shared_ptr<Backbone> encoder(SampleKind) const override { return nullptr; }

 private:
  std::shared_ptr<torch::nn::Module> encoder_;
  torch::nn::Conv2d conv_{nullptr};
  torch::nn::BatchNorm2d norm_{nullptr};
};

// The model's pooled feature is the sample itself, [N, 1, 1, width]: for losses of given embeddings.
class GivenFeatures : public Model {
 public:
  explicit GivenFeatures(int64_t width) : width_(width) {}
  int64_t width(SampleKind) const override { return width_; }
  Features embed(const torch::Tensor& images) override { return {.levels = {}, .pooled = images.flatten(1)}; }
  std::shared_ptr<Backbone> encoder(SampleKind) const override { return nullptr; }

 private:
  int64_t width_;
};

// Every parameter by its name, as Parameters of ssl2d.py does.
inline void fill_by_name(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  for (auto& item : module.named_parameters()) {
    if (!item.value().requires_grad()) continue;
    const std::string& name = item.key();
    uint64_t salt = 0;
    for (size_t i = 0; i < name.size(); ++i) salt += (i + 1) * static_cast<uint8_t>(name[i]);
    const bool norm = item.value().dim() == 1 && name.ends_with("weight");  // weights of batch norms lie about 1
    item.value().copy_(fill(item.value().sizes(), salt % 9973, norm ? 0.2 : 0.5, norm ? 1 : 0));
  }
}

// Lets a head pass its input on: the first layer splits it into positive and negative parts, the last joins them. In
// evaluation mode fresh batch norms divide by √(1 + 1e-5) alone.
inline void pass_through(torch::nn::Module& module, const std::string& head) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> weights;
  for (const auto& item : module.named_parameters()) {
    if (!item.key().starts_with(head + ".")) continue;
    if (item.value().dim() == 2) weights.push_back(item.value());
    if (item.key().ends_with("bias")) item.value().zero_();
  }
  for (size_t l = 0; l < weights.size(); ++l) {
    const auto eye = torch::eye(std::min(weights[l].size(0), weights[l].size(1)), weights[l].options());
    if (weights.size() == 1)
      weights[l].copy_(eye);
    else if (l == 0)
      weights[l].copy_(torch::cat({eye, -eye}));
    else if (l + 1 == weights.size())
      weights[l].copy_(torch::cat({eye, -eye}, 1));
    else
      weights[l].copy_(eye);
  }
}

// A batch of given features, a tensor [N, width] per view.
inline Batch given(const std::vector<torch::Tensor>& views) {
  Batch made{.kind = SampleKind::slice, .views = {}, .index = torch::arange(views[0].size(0))};
  for (const auto& view : views) made.views.push_back({view.to(torch::kDouble).unsqueeze(1).unsqueeze(1)});
  return made;
}

// An objective on given features whose heads pass them on.
struct Given {
  GivenFeatures model;
  std::shared_ptr<Objective> objective;

  Given(const std::string& name, Settings settings, int64_t width, const std::vector<std::string>& heads,
        int64_t layers = 2)
      : model(width) {
    settings.emplace_back("embedding_width", width);
    settings.emplace_back("head_width", layers == 1 ? width : 2 * width);
    objective = make<Objective>(name, settings, {.width = width, .model = &model, .fresh_model = [width] {
                                                   return std::make_shared<GivenFeatures>(width);
                                                 }});
    objective->to(torch::kDouble);
    for (const auto& head : heads) pass_through(*objective, head);
    objective->before_training(model, stage());
    objective->before_step(model, stage());
    objective->eval();
  }
  double loss(const std::vector<torch::Tensor>& views) {
    return objective->forward(model, given(views))[0].second.item<double>();
  }
};

// baselines_2d.md, section 12.
inline torch::Tensor rows_a() {
  return torch::tensor({{1.0, 0.0}, {0.6, 0.8}}, torch::kDouble);
}
inline torch::Tensor rows_b() {
  return torch::tensor({{0.8, 0.6}, {0.0, 1.0}}, torch::kDouble);
}

struct Training {
  std::shared_ptr<SmallModel> model;
  std::shared_ptr<Objective> objective;

  // `views` and `batch_size` of the context are given where the objective asks for them.
  Training(const std::string& name, const Settings& settings, Objective::Context context = {}) {
    model = std::make_shared<SmallModel>();
    context.width = small_width;
    context.model = model.get();
    context.fresh_model = [] { return std::make_shared<SmallModel>(); };
    torch::manual_seed(2);
    objective = make<Objective>(name, settings, context);
    objective->to(torch::kDouble);
    fill_by_name(*model);
    fill_by_name(*objective);
  }

  static Batch batch(int64_t step, const std::vector<int64_t>& sizes, int64_t first = 0, int64_t count = 8) {
    Batch made{.kind = SampleKind::slice, .views = {}, .index = torch::arange(first, first + count)};
    for (size_t v = 0; v < sizes.size(); ++v) {
      const auto all = fill({8, 1, sizes[v], sizes[v]}, static_cast<uint64_t>(1000 + 10 * step) + v);
      made.views.push_back({all.narrow(0, first, count).contiguous()});
    }
    return made;
  }

  // Trained tensors by the names that ssl2d.py has: the model's, the objective's without its twins.
  std::map<std::string, torch::Tensor> trained() const {
    std::map<std::string, torch::Tensor> all;
    for (const auto& item : model->named_parameters()) all[item.key()] = item.value();
    for (const auto& item : objective->named_parameters()) {
      if (item.value().requires_grad()) all[item.key()] = item.value();
    }
    return all;
  }

  double step(const Batch& of, StageContext stage) {
    for (auto& [name, p] : trained()) p.mutable_grad().reset();
    objective->before_step(*model, stage);
    const auto terms = objective->forward(*model, of);
    torch::Tensor loss = terms[0].second;
    for (size_t i = 1; i < terms.size(); ++i) loss = loss + terms[i].second;
    loss.backward();
    objective->after_backward(*model, stage);
    return loss.item<double>();
  }
  void descend(StageContext stage) {
    const torch::NoGradGuard no_grad;
    for (auto& [name, p] : trained()) {
      if (p.grad().defined()) p.sub_(0.1 * p.grad());
    }
    ++stage.step;
    objective->after_step(*model, stage);
  }
};

// Twins hold "network." between their own name and the parameter's: {"key_model", "key_head"} → names of ssl2d.py.
inline std::map<std::string, torch::Tensor> twin_tensors(const Objective& objective,
                                                         const std::map<std::string, std::string>& prefixes) {
  std::map<std::string, torch::Tensor> all;
  for (const auto& item : objective.named_parameters()) {
    for (const auto& [prefix, name] : prefixes) {
      const std::string begin = prefix + ".network.";
      if (item.key().starts_with(begin) && !item.key().ends_with("weight_g")) {
        all[name + item.key().substr(begin.size())] = item.value();
      }
    }
  }
  return all;
}

inline void expect_all(const std::map<std::string, torch::Tensor>& found, const nlohmann::json& expected) {
  EXPECT_EQ(found.size(), expected.size());
  for (const auto& [name, summary] : expected.items()) {
    ASSERT_TRUE(found.contains(name)) << name;
    // Doubles: rounding grows through five steps behind batch norms of few values.
    expect_summary(found.at(name), summary, 1e-9, name);
  }
}

// Five steps: losses, first gradients, trained tensors and the twins' of the golden file.
inline void expect_training(Training& training, const std::string& golden_name,
                            const std::function<Batch(int64_t step)>& batch_of,
                            const std::map<std::string, std::string>& twins = {}) {
  const auto expected = golden("ssl2d_" + golden_name);
  training.objective->before_training(*training.model, stage(0, 1000, 8));
  for (int64_t step = 0; step < 5; ++step) {
    const auto at = stage(step, 1000, 8);
    const double loss = training.step(batch_of(step), at);
    EXPECT_NEAR(loss, expected["losses"][step].get<double>(), 1e-10) << "step " << step;
    if (step == 0) {
      const auto all = training.trained();
      for (const auto& [name, summary] : expected["gradients"].items()) {
        if (all.at(name).grad().defined()) expect_summary(all.at(name).grad(), summary, 1e-9, name);
      }
    }
    training.descend(at);
  }
  expect_all(training.trained(), expected["trained"]);
  if (!twins.empty()) expect_all(twin_tensors(*training.objective, twins), expected["twin"]);
}

inline void expect_training(Training& training, const std::string& golden_name, const std::vector<int64_t>& sizes,
                            const std::map<std::string, std::string>& twins = {}) {
  expect_training(
      training, golden_name, [&](int64_t step) { return Training::batch(step, sizes); }, twins);
}

// The loss and, averaged over the processes, the gradient of every trained tensor with the batch dealt out to
// `processes`.
inline std::map<std::string, torch::Tensor> gradients_of(
    int64_t processes, const std::function<std::unique_ptr<Training>()>& make_training,
    const std::function<Batch(int64_t first, int64_t count)>& batch_of) {
  std::vector<std::map<std::string, torch::Tensor>> found(static_cast<size_t>(processes));
  std::vector<std::unique_ptr<Training>> trainings;
  for (int64_t i = 0; i < processes; ++i) trainings.push_back(make_training());
  ThreadGroup::run(processes, [&](const Collective& group) {
    Training& mine = *trainings[static_cast<size_t>(group.rank())];
    auto at = stage(0, 1000, 8);
    at.group = &group;
    const nn::JointStatistics joint(group);
    mine.objective->before_training(*mine.model, at);
    const int64_t n = 8 / processes;
    torch::Tensor loss = torch::full({1}, mine.step(batch_of(n * group.rank(), n), at), torch::kDouble);
    auto& all = found[static_cast<size_t>(group.rank())];
    for (auto& [name, p] : mine.trained()) {
      if (!p.grad().defined()) continue;
      torch::Tensor sum = p.grad().clone();
      group.all_reduce_sum(sum);
      all[name] = sum / processes;
    }
    group.all_reduce_sum(loss);
    all["loss"] = loss / processes;
  });
  return found[0];
}

inline void expect_same_gradients(const std::function<std::unique_ptr<Training>()>& make_training,
                                  const std::function<Batch(int64_t first, int64_t count)>& batch_of) {
  const auto alone = gradients_of(1, make_training, batch_of);
  for (const int64_t processes : {2, 4}) {
    const auto together = gradients_of(processes, make_training, batch_of);
    ASSERT_EQ(together.size(), alone.size());
    for (const auto& [name, gradient] : alone) {
      const double scale = std::max(1e-3, gradient.abs().max().item<double>());
      EXPECT_LT((together.at(name) - gradient).abs().max().item<double>(), 1e-9 * scale)
          << name << " of " << processes << " processes";
    }
  }
}

inline void expect_same_gradients(const std::function<std::unique_ptr<Training>()>& make_training,
                                  const std::vector<int64_t>& sizes) {
  expect_same_gradients(make_training,
                        [&](int64_t first, int64_t count) { return Training::batch(0, sizes, first, count); });
}

// Autograd against difference quotients for every trained tensor.
inline void expect_numerical_gradients(Training& training, const Batch& batch) {
  training.objective->before_training(*training.model, stage(0, 1000, 8));
  const auto loss = [&] {
    training.objective->before_step(*training.model, stage(0, 1000, 8));  // the same draws each time
    const auto terms = training.objective->forward(*training.model, batch);
    torch::Tensor sum = terms[0].second;
    for (size_t i = 1; i < terms.size(); ++i) sum = sum + terms[i].second;
    return sum;
  };
  // Quotients over 2e-6 of losses near 1, known to 1e-15, are known to 1e-9; derivatives are 1e-4 at the least. What a
  // batch norm takes off again, such as a bias before it, has none.
  for (const auto& [name, p] : training.trained()) {
    const auto gradient = torch::autograd::grad({loss()}, {p}, {}, std::nullopt, false, /*allow_unused=*/true)[0];
    ASSERT_TRUE(gradient.defined()) << name;
    if (gradient.abs().max().item<double>() < 1e-12) continue;
    EXPECT_LT(gradient_error(loss, p, 12), 1e-4) << name;
  }
}

}  // namespace ivory::test
