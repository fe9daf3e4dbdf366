// Models Genesis' chain of perturbations on cubes of 64 x 64 x 32 voxels, on one core. Peer: perturb_peer.py.
#include <ivory/error.h>
#include <ivory/nn/perturb.h>

#include <boost/program_options.hpp>
#include <iostream>

#include "benchmarks/lockstep.h"

namespace {

namespace po = boost::program_options;

int run(int argc, char** argv) {
  ivory::benchmark::Schedule schedule;
  int64_t cubes = 0;
  po::options_description options("perturb_benchmark: times Models Genesis' perturbations");
  auto add = options.add_options();
  add("cubes", po::value(&cubes)->default_value(64), "cubes of a timed call");
  add("lockstep", po::bool_switch(&schedule.lockstep), "answer \"go\" lines on stdin");
  add("warmup", po::value(&schedule.warmup)->default_value(1), "untimed calls");
  add("repeats", po::value(&schedule.repeats)->default_value(5), "timed calls");
  add("help", "this text");
  po::variables_map values;
  po::store(po::parse_command_line(argc, argv, options), values);
  if (values.count("help")) {
    std::cout << options << "\n";
    return 0;
  }
  po::notify(values);
  at::set_num_threads(1);
  torch::manual_seed(1);
  const ivory::nn::GenesisChain chain;
  const torch::Tensor source = torch::rand({32, 64, 64});
  torch::Tensor clean = torch::empty_like(source), perturbed = torch::empty_like(source);
  uint64_t sample = 0;
  const nlohmann::json about = {{"bench", "perturb"}, {"peer", "ivory"}};
  return ivory::benchmark::time_calls(schedule, about, static_cast<double>(cubes), [&] {
    for (int64_t i = 0; i < cubes; ++i) {
      clean.copy_(source);
      ivory::CounterRandom random(1, 0, sample++, 0);
      chain.apply(ivory::nn::cube_of(clean), ivory::nn::cube_of(perturbed), random);
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "perturb_benchmark: " << error.what() << "\n";
    return 2;
  }
}
