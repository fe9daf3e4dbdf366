#pragma once
// Faster R-CNN with the numbers of tests/reference/detection.py.
#include <ivory/nn/faster_rcnn.h>

#include <memory>
#include <string>
#include <vector>

#include "support/golden.h"
#include "support/plugins.h"

namespace ivory::test {

inline torch::Tensor filled_parameter(const std::string& name, const torch::Tensor& tensor) {
  uint64_t salt = 0;
  for (size_t i = 0; i < name.size(); ++i) salt += static_cast<uint64_t>(name[i]) * (i + 1);
  const auto has = [&](const char* word) { return name.find(word) != std::string::npos; };
  if (tensor.dim() > 1) {
    const bool last = has("bbox_pred") || has("cls_logits") || has("cls_score");
    return fill(tensor.sizes(), salt, std::sqrt(6.0 / static_cast<double>(tensor[0].numel())) * (last ? 0.2 : 1));
  }
  if (name.ends_with("bn3.weight")) return fill(tensor.sizes(), salt, 0.05, 0.2);
  const bool around_one = name.ends_with("running_var") || name.ends_with("weight");
  return around_one ? fill(tensor.sizes(), salt, 0.2, 1) : fill(tensor.sizes(), salt, 0.1);
}

inline std::vector<std::pair<std::string, torch::Tensor>> state_of(const torch::nn::Module& module) {
  std::vector<std::pair<std::string, torch::Tensor>> state;
  for (const auto& item : module.named_parameters()) state.emplace_back(item.key(), item.value());
  for (const auto& item : module.named_buffers()) state.emplace_back(item.key(), item.value());
  return state;
}

inline std::shared_ptr<nn::FasterRcnn> faster_rcnn(int64_t classes, nn::FasterRcnnOptions options = {}) {
  options.classes = classes;
  return std::make_shared<nn::FasterRcnn>(make<Backbone>("resnet", {{"depth", int64_t{50}}}, {}), options);
}

inline Boxes boxes_of(const std::vector<std::vector<double>>& corners, const std::vector<int64_t>& classes) {
  Boxes boxes{torch::zeros({static_cast<int64_t>(corners.size()), 4}, torch::kFloat64),
              torch::tensor(classes, torch::kInt64)};
  for (size_t i = 0; i < corners.size(); ++i)
    boxes.corners[static_cast<int64_t>(i)] = torch::tensor(corners[i], torch::kFloat64);
  return boxes;
}

}  // namespace ivory::test
