#pragma once
// Evaluation mode of a module for as long as the guard lives.

#include <ivory/torch.h>

#include <memory>
#include <utility>
#include <vector>

namespace ivory::nn {

// Afterwards the module and all below it have the mode that each had before.
class EvalMode {
 public:
  explicit EvalMode(torch::nn::Module& module);
  ~EvalMode();
  EvalMode(const EvalMode&) = delete;
  EvalMode& operator=(const EvalMode&) = delete;

 private:
  torch::nn::Module& module_;
  bool training_;
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> below_;  // parents first
};

}  // namespace ivory::nn
