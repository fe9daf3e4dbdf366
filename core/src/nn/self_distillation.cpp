#include <ivory/error.h>
#include <ivory/metrics.h>
#include <ivory/nn/self_distillation.h>
#include <ivory/nn/view_comparison.h>

#include <cmath>

namespace ivory::nn {
namespace {

using torch::Tensor;

constexpr double weight_deviation = 0.02;

void initialise(torch::nn::Linear& linear) {
  const torch::NoGradGuard no_grad;
  // A normal cut off at ±2, that is at a hundred deviations.
  linear->weight.normal_(0, weight_deviation);
  linear->bias.zero_();
}

}  // namespace

std::vector<Option> distillation_options() {
  return {
      {.name = "outputs",
       .fallback = int64_t{65536},
       .help = "Width K of the outputs that are compared.",
       .minimum = 2,
       .source = "§3.1"},
      {.name = "head_width", .fallback = int64_t{2048}, .help = "Hidden width of the head.", .minimum = 1},
      {.name = "bottleneck", .fallback = int64_t{256}, .help = "Width of the head's unit vectors.", .minimum = 1},
      {.name = "student_temperature", .fallback = 0.1, .help = "Temperature of the student.", .minimum = 1e-3},
      {.name = "teacher_temperature",
       .fallback = 0.04,
       .help = "Temperature of the teacher, after its warm-up.",
       .minimum = 1e-3},
      {.name = "first_teacher_temperature",
       .fallback = 0.04,
       .help = "Temperature of the teacher at the beginning of its warm-up.",
       .minimum = 1e-3},
      {.name = "temperature_epochs",
       .fallback = int64_t{0},
       .help = "Epochs of the teacher's linear warm-up; the authors' long recipe goes from 0.04 to 0.07 in 30.",
       .minimum = 0,
       .unit = "epochs"},
      {.name = "centre_momentum",
       .fallback = 0.9,
       .help = "Momentum of the centre of the teacher's outputs.",
       .minimum = 0,
       .maximum = 1,
       .source = "Eq. 4"},
      {.name = "freeze_last_layer",
       .fallback = int64_t{1},
       .help = "Epochs during which the last layer of the head stays as it is.",
       .minimum = 0,
       .unit = "epochs"},
  };
}

DistillationSpec distillation_spec(const std::string& method, const Options& options) {
  const DistillationSpec spec{.outputs = options.get<int64_t>("outputs"),
                              .hidden = options.get<int64_t>("head_width"),
                              .bottleneck = options.get<int64_t>("bottleneck"),
                              .student_temperature = options.get<double>("student_temperature"),
                              .teacher_temperature = options.get<double>("teacher_temperature"),
                              .first_teacher_temperature = options.get<double>("first_teacher_temperature"),
                              .temperature_epochs = options.get<int64_t>("temperature_epochs"),
                              .centre_momentum = options.get<double>("centre_momentum"),
                              .freeze_last_layer = options.get<int64_t>("freeze_last_layer")};
  // Student and teacher, gradient and two moments of the optimiser, in fp32.
  constexpr double copies = 5, bytes = 4;
  check_memory(method + ": outputs = " + std::to_string(spec.outputs),
               copies * bytes * static_cast<double>(spec.outputs) * static_cast<double>(spec.bottleneck));
  return spec;
}

DistillationHeadImpl::DistillationHeadImpl(int64_t width, const DistillationSpec& spec) {
  const std::vector<int64_t> widths = {width, spec.hidden, spec.hidden, spec.bottleneck};
  mlp_ = torch::nn::Sequential();
  for (size_t l = 0; l + 1 < widths.size(); ++l) {
    torch::nn::Linear linear(widths[l], widths[l + 1]);
    initialise(linear);
    if (l > 0) mlp_->push_back(torch::nn::GELU());
    mlp_->push_back(linear);
  }
  register_module("mlp", mlp_);
  const auto last_layer = register_module("last_layer", std::make_shared<torch::nn::Module>());
  const Tensor weight =
      torch::nn::LinearImpl(torch::nn::LinearOptions(spec.bottleneck, spec.outputs).bias(false)).weight;
  magnitude_ = last_layer->register_parameter("weight_g", torch::ones({spec.outputs, 1}), /*requires_grad=*/false);
  direction_ = last_layer->register_parameter("weight_v", weight.detach().clone());
}

Tensor DistillationHeadImpl::forward(const Tensor& features) {
  const Tensor weight = direction_ * (magnitude_ / direction_.norm(2, 1, /*keepdim=*/true));
  return torch::linear(unit_rows(mlp_->forward(features)), weight);
}

void DistillationHeadImpl::drop_last_gradient() {
  direction_.mutable_grad().reset();
}

DistillationLossImpl::DistillationLossImpl(const DistillationSpec& spec)
    : spec_(spec), temperature_(spec.teacher_temperature), group_(&Collective::alone()) {
  centre = register_buffer("center", torch::zeros({1, spec.outputs}));
}

void DistillationLossImpl::before_step(const StageContext& stage) {
  if (stage.group) group_ = stage.group;
  const auto last = static_cast<double>(std::max<int64_t>(spec_.temperature_epochs - 1, 1));
  const double done = stage.epoch < spec_.temperature_epochs ? static_cast<double>(stage.epoch) / last : 1;
  temperature_ = spec_.first_teacher_temperature + done * (spec_.teacher_temperature - spec_.first_teacher_temperature);
}

Tensor DistillationLossImpl::forward(const std::vector<Tensor>& student, const std::vector<Tensor>& teacher) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const auto type = torch::promoteTypes(torch::kFloat, student[0].scalar_type());
  std::vector<Tensor> codes, predictions;
  for (const Tensor& t : teacher) codes.push_back(((t.detach().to(type) - centre) / temperature_).softmax(1));
  for (const Tensor& s : student) predictions.push_back((s.to(type) / spec_.student_temperature).log_softmax(1));
  Tensor sum;
  int64_t terms = 0;
  for (size_t i = 0; i < codes.size(); ++i) {
    for (size_t v = 0; v < predictions.size(); ++v) {
      if (v == i) continue;
      const Tensor term = -(codes[i] * predictions[v]).sum(1).mean();
      sum = sum.defined() ? sum + term : term;
      ++terms;
    }
  }
  codes_ = torch::cat(codes);
  if (is_training()) follow(torch::cat(teacher).detach().to(type));
  return sum / static_cast<double>(terms);
}

void DistillationLossImpl::follow(const Tensor& outputs) {
  const torch::NoGradGuard no_grad;
  Tensor mean = outputs.mean(0, /*keepdim=*/true);
  group_->all_reduce_sum(mean);
  // Past the version counter: an earlier term of the same step may have saved it.
  centre.variable_data().lerp_(mean / static_cast<double>(group_->world_size()), 1 - spec_.centre_momentum);
}

std::vector<Measure> DistillationLossImpl::measures() const {
  if (!codes_.defined()) return {};
  const double uniform = chance_loss(), batch = std::log(static_cast<double>(codes_.size(0)));
  const double spread = std::log(perplexity(codes_)), entropy = mean_row_entropy(codes_);
  return {
      {.name = "code_entropy", .value = entropy, .unit = "nats", .compare = uniform, .compare_label = "uniform, ln K"},
      {.name = "code_spread",
       .value = spread,
       .unit = "nats",
       .compare = uniform,
       .compare_label = "uniform, ln K",
       .low = 0.1 * std::min(batch, uniform),
       .if_low = "the teacher gives all samples the same code, that is, it has collapsed onto few outputs; a lower "
                 "centre_momentum or a higher teacher_temperature spreads them"}};
}

double DistillationLossImpl::chance_loss() const {
  return std::log(static_cast<double>(spec_.outputs));
}

void keep_all_paths(torch::nn::Module& twin) {
  for (const auto& item : twin.named_modules()) {
    if (item.key().ends_with("drop_path")) item.value()->eval();
  }
}

}  // namespace ivory::nn
