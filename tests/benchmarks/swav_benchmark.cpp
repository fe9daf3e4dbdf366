// One training step of SwAV as a stage does it: the plugins `resnet` and `swav`, the optimiser and the machine settings
// of core/src/train. Peer: swav_step.py (channels-last, same crops, batch and threads).
#include <ivory/error.h>
#include <ivory/image_volume.h>

#include <boost/program_options.hpp>
#include <iostream>

#include "benchmarks/lockstep.h"
#include "data/heap.h"
#include "plugin/registry.h"
#include "train/machine.h"
#include "train/optimiser.h"

namespace {

namespace po = boost::program_options;
using torch::Tensor;

struct Setting {
  int64_t batch = 8, depth = 50, prototypes = 3000;
  int threads = 2;
  std::string crops = "2x224+6x96", precision = "fp32";
  bool rgb = false;  // three-channel input, as the peer has it
  ivory::benchmark::Schedule schedule;
};

std::optional<Setting> parse(int argc, char** argv) {
  Setting s;
  po::options_description options("swav_benchmark: times one SwAV training step");
  auto add = options.add_options();
  add("batch", po::value(&s.batch)->default_value(s.batch), "images per step");
  add("crops", po::value(&s.crops)->default_value(s.crops), "views of each image: COUNTxSIZE+COUNTxSIZE");
  add("precision", po::value(&s.precision)->default_value(s.precision), "fp32 or bf16");
  add("threads", po::value(&s.threads)->default_value(s.threads), "threads of torch");
  add("depth", po::value(&s.depth)->default_value(s.depth), "of the ResNet");
  add("prototypes", po::value(&s.prototypes)->default_value(s.prototypes), "of SwAV");
  add("rgb", po::bool_switch(&s.rgb), "three-channel images instead of grey ones");
  add("lockstep", po::bool_switch(&s.schedule.lockstep), "answer \"go\" lines on stdin");
  add("warmup", po::value(&s.schedule.warmup)->default_value(s.schedule.warmup), "untimed steps");
  add("repeats", po::value(&s.schedule.repeats)->default_value(s.schedule.repeats), "timed steps");
  add("help", "this text");
  po::variables_map values;
  po::store(po::parse_command_line(argc, argv, options), values);
  po::notify(values);
  if (!values.count("help")) return s;
  std::cout << options << "\n";
  return {};
}

std::vector<int64_t> sizes_of(const std::string& crops) {
  std::vector<int64_t> sizes;
  std::istringstream parts(crops);
  for (std::string part; std::getline(parts, part, '+');) {
    int64_t count = 0, size = 0;
    char cross = 0;
    std::istringstream(part) >> count >> cross >> size;
    IVORY_CHECK(cross == 'x' && count > 0 && size > 0, "--crops must be like 2x224+6x96, but is ", crops);
    sizes.insert(sizes.end(), count, size);
  }
  return sizes;
}

template <class Interface>
std::shared_ptr<Interface> make(const ivory::plugin::Registry& registry, const std::string& name,
                                const std::map<std::string, ivory::OptionValue>& values,
                                const typename Interface::Context& context) {
  const auto& descriptor = registry.find<Interface>(name);
  ivory::Options options(descriptor.options);
  for (const auto& [option, value] : values) options.set(option, value);
  return descriptor.create(options, context);
}

class Step {
 public:
  Step(const Setting& setting, const ivory::plugin::Registry& registry) : bf16_(setting.precision == "bf16") {
    torch::manual_seed(0);
    auto backbone = make<ivory::Backbone>(registry, "resnet", {{"depth", setting.depth}}, {});
    const auto sizes = sizes_of(setting.crops);
    const int64_t width = backbone->info().width;
    model_ = std::make_shared<ivory::ImageVolumeModel>(backbone, nullptr, ivory::LevelUse::last, 128, 1);
    swav_ = make<ivory::Objective>(
        registry, "swav", {{"prototypes", setting.prototypes}, {"freeze_steps", int64_t{0}}},
        {.width = width, .views = static_cast<int64_t>(sizes.size()), .batch_size = setting.batch});
    for (torch::nn::Module* module :
         {static_cast<torch::nn::Module*>(model_.get()), static_cast<torch::nn::Module*>(swav_.get())}) {
      ivory::train::to_channels_last(*module);
      module->train();
    }
    ivory::train::NamedTensors parameters;
    for (const auto& p : model_->intra->named_parameters()) parameters.emplace_back("model." + p.key(), p.value());
    for (const auto& p : swav_->named_parameters()) parameters.emplace_back("swav." + p.key(), p.value());
    optimiser_ = ivory::train::make_optimiser({.name = "sgd", .momentum = 0.9, .weight_decay = 1e-6}, parameters);

    for (const int64_t size : sizes) {
      const Tensor view = torch::randn({setting.batch, setting.rgb ? 3 : 1, size, size});
      batch_.views.push_back({ivory::train::to_device(view, torch::kCPU, /*channels_last=*/true)});
    }
    batch_.index = torch::arange(setting.batch);
    stage_.group = &alone_;
    stage_.batch_size = setting.batch;
    swav_->before_training(*model_, stage_);
  }

  double operator()() {
    swav_->before_step(*model_, stage_);
    const Tensor loss = forward();
    loss.backward();
    swav_->after_backward(*model_, stage_);
    optimiser_->step(0.01);
    optimiser_->zero_grad();
    ++stage_.step;
    swav_->after_step(*model_, stage_);
    return loss.item<double>();
  }

 private:
  Tensor forward() {
    const ivory::train::Autocast autocast(torch::kCPU, bf16_);
    return swav_->forward(*model_, batch_).at(0).second;
  }

  bool bf16_;
  std::shared_ptr<ivory::ImageVolumeModel> model_;
  std::shared_ptr<ivory::Objective> swav_;
  std::unique_ptr<ivory::train::Optimiser> optimiser_;
  ivory::Batch batch_;
  ivory::Collective alone_;
  ivory::StageContext stage_;
};

int run(const Setting& setting) {
  at::set_num_threads(setting.threads);
  ivory::data::keep_freed_memory();
  ivory::plugin::Registry registry;
  registry.discover();
  Step step(setting, registry);
  double first_loss = 0, last_loss = 0;
  const nlohmann::json about = {{"bench", "swav_step"},
                                {"peer", "ivory"},
                                {"crops", setting.crops},
                                {"batch", setting.batch},
                                {"threads", setting.threads},
                                {"precision", setting.precision},
                                {"input", setting.rgb ? "rgb" : "grey"}};
  const int code = ivory::benchmark::time_calls(setting.schedule, about, static_cast<double>(setting.batch), [&] {
    last_loss = step();
    if (first_loss == 0) first_loss = last_loss;
  });
  std::cout << "INFO first loss " << first_loss << ", last loss " << last_loss << "\n";
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const auto setting = parse(argc, argv);
    return setting ? run(*setting) : 0;
  } catch (const std::exception& error) {
    std::cerr << "swav_benchmark: " << error.what() << "\n";
    return 2;
  }
}
