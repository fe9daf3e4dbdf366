#include <ivory/nn/eval_mode.h>

namespace ivory::nn {

EvalMode::EvalMode(torch::nn::Module& module) : module_(module), training_(module.is_training()) {
  for (const auto& part : module.modules(/*include_self=*/false)) below_.emplace_back(part, part->is_training());
  module.eval();
}

EvalMode::~EvalMode() {
  module_.train(training_);
  for (const auto& [part, training] : below_) {
    if (part->is_training() != training) part->train(training);
  }
}

}  // namespace ivory::nn
