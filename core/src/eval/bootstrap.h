#pragma once
// Draws with replacement, for intervals.

#include <ivory/metrics.h>

#include <functional>
#include <span>

namespace ivory::eval {

// Calls `figure` with how often each of `count` items was drawn, `draws` times; what it returns, in that order. A
// function of the arguments alone.
std::vector<double> bootstrap(int64_t count, int64_t draws, uint64_t seed,
                              const std::function<double(std::span<const int64_t> times)>& figure);

}  // namespace ivory::eval
