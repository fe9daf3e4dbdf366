#include <ivory/nn/ema_twin.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ivory::nn {
namespace {

using torch::Tensor;

template <class Named>
std::vector<Tensor> checked_values(const Named& twins, const Named& trained) {
  IVORY_CHECK(twins.keys() == trained.keys(),
              "an EMA twin must have the architecture of the network that it follows, but its ", twins.size(),
              " tensors differ from the ", trained.size(), " of that network in number or names");
  for (const auto& item : trained) {
    const auto twin = twins[item.key()].sizes();
    IVORY_CHECK(twin == item.value().sizes(), "an EMA twin must have the architecture of the network that it follows, ",
                "but its tensor '", item.key(), "' is ", twin, " and that of the network ", item.value().sizes());
  }
  return trained.values();
}

}  // namespace

std::vector<Option> MomentumSchedule::options(double momentum, const std::string& schedule) {
  return {{.name = "momentum",
           .fallback = momentum,
           .help = "Momentum of the target network at the first step.",
           .minimum = 0,
           .maximum = 1},
          {.name = "momentum_schedule",
           .fallback = schedule,
           .help = "'constant', or a 'cosine' from `momentum` to 1 over the stage.",
           .choices = {"constant", "cosine"}}};
}

MomentumSchedule::MomentumSchedule(const Options& options)
    : first_(options.get<double>("momentum")), cosine_(options.get<std::string>("momentum_schedule") == "cosine") {}

double MomentumSchedule::at(int64_t step, int64_t total_steps) const {
  if (!cosine_) return first_;
  const double done = static_cast<double>(step) / static_cast<double>(std::max<int64_t>(total_steps, 1));
  return 1 - (1 - first_) * (std::cos(std::numbers::pi * std::min(done, 1.0)) + 1) / 2;
}

EmaTwin::EmaTwin(std::shared_ptr<torch::nn::Module> network) {
  network_ = register_module("network", std::move(network));
  started_ = register_buffer("started", torch::zeros({}, torch::kBool));
  for (auto& parameter : network_->parameters()) parameter.set_requires_grad(false);
}

void EmaTwin::start(const torch::nn::Module& trained) {
  if (started_.item<bool>()) return;
  const torch::NoGradGuard no_grad;
  follow(trained, 0);
  const auto sources = checked_values(network_->named_buffers(), trained.named_buffers());
  auto buffers = network_->buffers();
  for (size_t i = 0; i < buffers.size(); ++i) buffers[i].copy_(sources[i]);
  started_.fill_(true);
}

void EmaTwin::follow(const torch::nn::Module& trained, double momentum) {
  const torch::NoGradGuard no_grad;
  const auto sources = checked_values(network_->named_parameters(), trained.named_parameters());
  auto targets = network_->parameters();
  for (size_t i = 0; i < targets.size(); ++i) targets[i].lerp_(sources[i], 1 - momentum);
}

}  // namespace ivory::nn
