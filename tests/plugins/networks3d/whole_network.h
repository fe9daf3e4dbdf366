#pragma once
// 3D networks as a whole, with the names of their reference, filled as tests/reference/volume_networks.py fills them.
#include <ivory/nn/own_decoder.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "plugins/filled_network.h"
#include "support/plugins.h"

namespace ivory::test {

// A backbone alone, or an encoder with its own decoder and head for two outputs.
class WholeNetwork {
 public:
  // The encoder's names lie below `prefix` in the reference: "", "vit.", "swinViT.".
  WholeNetwork(std::shared_ptr<nn::OwnDecoder> model, const std::string& prefix) : model_(std::move(model)) {
    head_ = model_->head(2);
    add(*model_->part("encoder"), prefix);
    add(*model_->part("decoder"), "");
    add(*head_, model_->head_name() + ".");
  }
  explicit WholeNetwork(std::shared_ptr<Backbone> backbone) : backbone_(std::move(backbone)) { add(*backbone_, ""); }

  std::map<std::string, std::vector<int64_t>> shapes() const {
    std::map<std::string, std::vector<int64_t>> found;
    for (const auto& [name, parameter] : parameters_) found[name] = parameter.sizes().vec();
    return found;
  }

  void fill_all() {
    const torch::NoGradGuard no_grad;
    uint64_t salt = 0;
    for (auto& [name, tensor] : state_) {
      double scale = 0.3, shift = 1;
      if (tensor.dim() == 3) {
        scale = 0.2;
        shift = 0;
      } else if (tensor.dim() > 1) {
        scale = std::sqrt(3.0 / static_cast<double>(tensor.numel() / tensor.size(0)));
        shift = 0;
      } else if (name.ends_with("bias") || name.ends_with("running_mean")) {
        scale = 0.2;
        shift = 0;
      }
      tensor.copy_(fill(tensor.sizes(), salt++, scale, shift));
    }
  }

  void to(torch::Dtype type) {
    for (auto* module : modules()) module->to(type);
  }
  void train(bool on) {
    for (auto* module : modules()) module->train(on);
  }

  // Every level, the pooled feature and the logits.
  std::vector<torch::Tensor> features(const torch::Tensor& input) {
    if (backbone_) return all_features(*backbone_, input);
    const auto features = model_->embed(input);
    const auto encoder = model_->encoder(SampleKind::volume)->info();
    auto all = features.levels;
    if (all.size() > encoder.levels.size()) all.erase(all.begin());  // the samples
    all.push_back(features.pooled);
    all.push_back(model_->logits(features, *head_));
    return all;
  }

  // Features, logits and the gradient of every parameter.
  void expect_golden(const nlohmann::json& golden, const std::string& mode, torch::Dtype type, double tolerance,
                     double tolerance_of_gradients) {
    ASSERT_EQ(shapes(), (golden["parameters"].get<std::map<std::string, std::vector<int64_t>>>()));
    to(torch::kDouble);
    fill_all();
    to(type);
    train(mode == "train");
    const auto found = features(fill(golden["shape"].get<std::vector<int64_t>>(), 11).to(type));
    expect_features(found, golden[mode]["features"], tolerance, mode);
    loss_of(found).backward();
    double squares = 0;
    for (const auto& one : golden[mode]["gradients"]) squares += std::pow(one.at("norm").get<double>(), 2);
    for (const auto& [name, expected] : golden[mode]["gradients"].items()) {
      // Gradients that are 0 but for rounding, as those of a bias before a normalisation, are measured by the others.
      expect_summary(parameters_.at(name).grad(), expected, tolerance_of_gradients, mode + ", " + name,
                     0.01 * std::sqrt(squares));
    }
  }

 private:
  std::vector<torch::nn::Module*> modules() const {
    if (backbone_) return {backbone_.get()};
    return {model_.get(), head_.get()};
  }

  void add(torch::nn::Module& module, const std::string& prefix) {
    for (const auto& named : module.named_parameters()) {
      parameters_[prefix + named.key()] = state_[prefix + named.key()] = named.value();
    }
    for (const auto& named : module.named_buffers()) {
      if (named.value().is_floating_point()) state_[prefix + named.key()] = named.value();
    }
  }

  std::shared_ptr<nn::OwnDecoder> model_;
  std::shared_ptr<nn::OutputHead> head_;
  std::shared_ptr<Backbone> backbone_;
  std::map<std::string, torch::Tensor> parameters_, state_;
};

inline std::shared_ptr<nn::OwnDecoder> own_decoder(const std::string& name, const Settings& settings = {}) {
  return std::dynamic_pointer_cast<nn::OwnDecoder>(make<Model>(name, settings, {}));
}

// Encoder, decoder and the head for `outputs`.
inline int64_t whole_count(const std::string& name, int64_t outputs, const Settings& settings = {}) {
  const auto model = own_decoder(name, settings);
  return parameter_count(*model) + parameter_count(*model->head(outputs));
}

}  // namespace ivory::test
