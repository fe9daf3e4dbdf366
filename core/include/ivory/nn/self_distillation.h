#pragma once
// Self-distillation without labels (DINO: Caron et al., ICCV 2021): head, centre and loss, on slices and on volumes
// alike. An objective owns a head for the student, one inside an EMA twin for the teacher, and one loss.

#include <ivory/objective.h>
#include <ivory/options.h>

#include <string>
#include <vector>

namespace ivory::nn {

struct DistillationSpec {
  int64_t outputs = 65536;  // K
  int64_t hidden = 2048;
  int64_t bottleneck = 256;
  double student_temperature = 0.1;
  double teacher_temperature = 0.04;  // once it has warmed up
  double first_teacher_temperature = 0.04;
  int64_t temperature_epochs = 0;  // of the teacher's warm-up, linear
  double centre_momentum = 0.9;
  int64_t freeze_last_layer = 1;  // epochs
};

// Declared options of the spec, and their values. Throws where K takes more memory than the machine has.
std::vector<Option> distillation_options();
DistillationSpec distillation_spec(const std::string& method, const Options& options);

// width → hidden → hidden → bottleneck (GELU between them), unit length, then a weight-normalised layer to K whose
// magnitudes stay 1. Names: mlp.0, mlp.2, mlp.4, last_layer.weight_g, last_layer.weight_v.
class DistillationHeadImpl : public torch::nn::Module {
 public:
  DistillationHeadImpl(int64_t width, const DistillationSpec& spec);
  torch::Tensor forward(const torch::Tensor& features);  // [N, width] → [N, K]
  void drop_last_gradient();

 private:
  torch::nn::Sequential mlp_{nullptr};
  torch::Tensor magnitude_, direction_;  // [K, 1], [K, bottleneck]
};
TORCH_MODULE(DistillationHead);

class DistillationLossImpl : public torch::nn::Module {
 public:
  explicit DistillationLossImpl(const DistillationSpec& spec);

  // Mean over teacher views i and student views v ≠ i of −Σ softmax((t_i − centre) / τt) · log softmax(s_v / τs), per
  // view [B, K]. In training the centre then moves towards the mean of the teacher's outputs in all processes.
  torch::Tensor forward(const std::vector<torch::Tensor>& student, const std::vector<torch::Tensor>& teacher);

  void before_step(const StageContext& stage);
  // Of the last forward: entropy of the teacher's mean code and the mean entropy of its codes, in nats.
  std::vector<Measure> measures() const;
  double chance_loss() const;  // ln K

  torch::Tensor centre;  // [1, K]

 private:
  void follow(const torch::Tensor& outputs);

  DistillationSpec spec_;
  double temperature_;  // the teacher's, in this epoch
  const Collective* group_;
  torch::Tensor codes_;  // of the teacher, [2B, K]
};
TORCH_MODULE(DistillationLoss);

// A network of an EMA twin trains its batch norms, but drops no paths: modules named "drop_path" go to eval mode.
void keep_all_paths(torch::nn::Module& twin);

}  // namespace ivory::nn
