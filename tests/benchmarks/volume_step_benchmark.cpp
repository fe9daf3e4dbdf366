// One training step of a 3D network as a segmentation of two classes does it: forward, cross-entropy, backward, SGD,
// with the layout and machine settings of core/src/train. Peer: volume_step_peer.py (MONAI and PyTorch, channels-last).
#include <ivory/error.h>
#include <ivory/nn/own_decoder.h>

#include <boost/program_options.hpp>
#include <iostream>

#include "benchmarks/lockstep.h"
#include "data/heap.h"
#include "plugin/registry.h"
#include "train/machine.h"
#include "train/optimiser.h"

namespace {

namespace po = boost::program_options;
using namespace ivory;
using torch::Tensor;

struct Setting {
  std::string network = "unet-3d-genesis", precision = "fp32";
  std::vector<int64_t> size = {32, 64, 64};
  int64_t batch = 6;
  int threads = 2;
  bool recompute = false;
  benchmark::Schedule schedule;
};

std::optional<Setting> parse(int argc, char** argv) {
  Setting s;
  po::options_description options("volume_step_benchmark: times one training step of a 3D network");
  auto add = options.add_options();
  add("network", po::value(&s.network)->default_value(s.network),
      "unet-3d-genesis, unetr, swin-unetr, v-net, dense-v-net; resnet-3d and i3d classify");
  add("size", po::value(&s.size)->multitoken(), "slices, rows, columns; by default 32 64 64");
  add("batch", po::value(&s.batch)->default_value(s.batch), "volumes per step");
  add("precision", po::value(&s.precision)->default_value(s.precision), "fp32 or bf16");
  add("threads", po::value(&s.threads)->default_value(s.threads), "threads of torch");
  add("recompute", po::bool_switch(&s.recompute), "activations of blocks are computed again");
  add("lockstep", po::bool_switch(&s.schedule.lockstep), "answer \"go\" lines on stdin");
  add("warmup", po::value(&s.schedule.warmup)->default_value(s.schedule.warmup), "untimed steps");
  add("repeats", po::value(&s.schedule.repeats)->default_value(s.schedule.repeats), "timed steps");
  add("help", "this text");
  po::variables_map values;
  po::store(po::parse_command_line(argc, argv, options), values);
  po::notify(values);
  IVORY_CHECK(s.size.size() == 3, "--size needs three numbers: slices, rows, columns");
  if (!values.count("help")) return s;
  std::cout << options << "\n";
  return {};
}

Options options_of(const std::vector<Option>& declared, const Setting& setting) {
  Options options(declared);
  for (const auto& option : declared) {
    if (option.name == "recompute") options.set("recompute", setting.recompute);
    if (option.name == "size") options.set("size", setting.size);
    if (option.name == "depth") options.set("depth", int64_t{18});
    if (option.name == "in_channels") options.set("in_channels", int64_t{1});
  }
  return options;
}

class Step {
 public:
  Step(const Setting& setting, const plugin::Registry& registry) : bf16_(setting.precision == "bf16") {
    torch::manual_seed(0);
    const auto& [d, h, w] = std::tie(setting.size[0], setting.size[1], setting.size[2]);
    volumes_ = torch::randn({setting.batch, 1, d, h, w});
    train::NamedTensors parameters;
    if (registry.knows(plugin::Kind::model, setting.network)) {
      const auto& network = registry.find<Model>(setting.network);
      const auto model =
          std::dynamic_pointer_cast<nn::OwnDecoder>(network.create(options_of(network.options, setting), {}));
      const auto head = model->head(2);
      targets_ = (volumes_.select(1, 0) > 0).to(torch::kInt64);
      use(*model, "model.", parameters);
      use(*head, "head.", parameters);
      logits_ = [model, head](const Tensor& x) { return model->logits(model->embed(x), *head); };
    } else {
      const auto& network = registry.find<Backbone>(setting.network);
      const auto backbone = network.create(options_of(network.options, setting), {});
      torch::nn::Linear head(backbone->info().width, 2);
      targets_ = torch::arange(setting.batch) % 2;
      use(*backbone, "model.", parameters);
      use(*head, "head.", parameters);
      logits_ = [backbone, head](const Tensor& x) mutable { return head(backbone->forward(x).pooled); };
    }
    optimiser_ = train::make_optimiser({.name = "sgd", .momentum = 0.9, .weight_decay = 1e-6}, parameters);
  }

  double operator()() {
    const Tensor loss = forward();
    loss.backward();
    optimiser_->step(0.01);
    optimiser_->zero_grad();
    return loss.item<double>();
  }

 private:
  static void use(torch::nn::Module& module, const std::string& prefix, train::NamedTensors& parameters) {
    train::to_channels_last(module);
    module.train();
    for (const auto& p : module.named_parameters()) parameters.emplace_back(prefix + p.key(), p.value());
  }

  Tensor forward() {
    const train::Autocast autocast(torch::kCPU, bf16_);
    return torch::nn::functional::cross_entropy(logits_(volumes_).to(torch::kFloat32), targets_);
  }

  bool bf16_;
  Tensor volumes_, targets_;
  std::function<Tensor(const Tensor&)> logits_;
  std::unique_ptr<train::Optimiser> optimiser_;
};

int run(const Setting& setting) {
  at::set_num_threads(setting.threads);
  data::keep_freed_memory();
  plugin::Registry registry;
  registry.discover();
  Step step(setting, registry);
  double loss = 0;
  const nlohmann::json about = {{"bench", "volume_step"},         {"peer", "ivory"},
                                {"network", setting.network},     {"size", setting.size},
                                {"batch", setting.batch},         {"threads", setting.threads},
                                {"precision", setting.precision}, {"recompute", setting.recompute}};
  const int code =
      benchmark::time_calls(setting.schedule, about, static_cast<double>(setting.batch), [&] { loss = step(); });
  std::cout << "INFO last loss " << loss << "\n";
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const auto setting = parse(argc, argv);
    return setting ? run(*setting) : 0;
  } catch (const std::exception& error) {
    std::cerr << "volume_step_benchmark: " << error.what() << "\n";
    return 2;
  }
}
