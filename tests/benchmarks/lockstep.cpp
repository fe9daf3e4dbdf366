#include "benchmarks/lockstep.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <iostream>
#include <vector>

namespace ivory::benchmark {
namespace {

using json = nlohmann::json;
using Clock = std::chrono::steady_clock;

double cpu_ms() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

long peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

json timed(double items, const std::function<void()>& call) {
  const double cpu = cpu_ms();
  const auto begin = Clock::now();
  call();
  const std::chrono::duration<double, std::milli> wall = Clock::now() - begin;
  return {{"ms", wall.count()}, {"cpu_ms", cpu_ms() - cpu}, {"items", items}};
}

}  // namespace

int time_calls(const Schedule& schedule, const json& about, double items, const std::function<void()>& call,
               const std::function<void()>& before) {
  for (int i = 0; i < schedule.warmup; ++i) call();
  json result = about;
  if (schedule.lockstep) {
    std::cout << "READY " << about << std::endl;
    for (std::string line; std::getline(std::cin, line) && line != "quit";) {
      before();
      std::cout << timed(items, call) << std::endl;
    }
  } else {
    std::vector<double> wall, cpu;
    for (int i = 0; i < schedule.repeats; ++i) {
      before();
      const json row = timed(items, call);
      wall.push_back(row["ms"]);
      cpu.push_back(row["cpu_ms"]);
    }
    if (!wall.empty()) {
      result["ms_min"] = *std::min_element(wall.begin(), wall.end());
      result["cpu_ms_min"] = *std::min_element(cpu.begin(), cpu.end());
    }
  }
  result["items"] = items;
  result["rss_mib"] = peak_mib();
  std::cout << "RESULT " << result << std::endl;
  return 0;
}

}  // namespace ivory::benchmark
