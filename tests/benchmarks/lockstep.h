#pragma once
// The protocol in which a benchmark and its peers alternate in one run: after warming up, "READY {…}"; for every line
// "go" one timed call and one line {"ms", "cpu_ms", "items"}; after "quit" "RESULT {…}" with the peak memory.

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace ivory::benchmark {

struct Schedule {
  bool lockstep = false;  // else: `repeats` calls and the RESULT line
  int warmup = 2;
  int repeats = 5;
};

// One call is worth `items` of `about`'s unit. `before` precedes each timed call, untimed. Returns main()'s exit code.
int time_calls(
    const Schedule& schedule, const nlohmann::json& about, double items, const std::function<void()>& call,
    const std::function<void()>& before = [] {});

}  // namespace ivory::benchmark
