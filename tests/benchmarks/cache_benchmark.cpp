// Builds a slice cache from a folder of volumes, again and again: reading, reorienting, checking, compressing, writing
// durably and reading back. Peer: cache_peer.py (nibabel and h5py).
#include <ivory/error.h>

#include <atomic>
#include <boost/program_options.hpp>
#include <iostream>

#include "benchmarks/lockstep.h"
#include "ingest/ingest.h"

namespace {

namespace fs = std::filesystem;
namespace po = boost::program_options;

struct Setting {
  std::string volumes, cache = "cache-benchmark";
  ivory::benchmark::Schedule schedule;
};

std::optional<Setting> parse(int argc, char** argv) {
  Setting s;
  po::options_description options("cache_benchmark: times the build of a slice cache");
  auto add = options.add_options();
  add("volumes", po::value(&s.volumes)->required(), "folder of volumes");
  add("cache", po::value(&s.cache)->default_value(s.cache), "the cache's folder: removed before and after every build");
  add("lockstep", po::bool_switch(&s.schedule.lockstep), "answer \"go\" lines on stdin");
  add("warmup", po::value(&s.schedule.warmup)->default_value(1), "untimed builds");
  add("repeats", po::value(&s.schedule.repeats)->default_value(3), "timed builds");
  add("help", "this text");
  po::variables_map values;
  po::store(po::parse_command_line(argc, argv, options), values);
  if (values.count("help")) {
    std::cout << options << "\n";
    return {};
  }
  po::notify(values);
  return s;
}

void build(const Setting& setting) {
  fs::remove_all(setting.cache);
  ivory::config::DataSpec spec;
  spec.name = "ct";
  spec.path = setting.volumes;
  spec.modality = "ct";
  const std::atomic<bool> stop = false;
  ivory::ingest::build_cache(spec, setting.cache, /*strict=*/true, nullptr, stop);
}

int run(const Setting& setting) {
  at::set_num_threads(1);
  const auto volumes = std::distance(fs::directory_iterator(setting.volumes), {});
  const nlohmann::json about = {{"bench", "cache_build"}, {"peer", "ivory"}, {"vols", volumes}};
  const int code =
      ivory::benchmark::time_calls(setting.schedule, about, static_cast<double>(volumes), [&] { build(setting); });
  fs::remove_all(setting.cache);
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const auto setting = parse(argc, argv);
    return setting ? run(*setting) : 0;
  } catch (const std::exception& error) {
    std::cerr << "cache_benchmark: " << error.what() << "\n";
    return 2;
  }
}
