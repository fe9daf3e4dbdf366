#include "data/deal.h"

#include <ivory/error.h>
#include <ivory/random.h>

#include <algorithm>
#include <cmath>

namespace ivory::data {

std::vector<std::string> permuted(const std::set<std::string>& patients, uint64_t seed) {
  std::vector<std::string> order(patients.begin(), patients.end());
  CounterRandom random(seed, 0, 0, 0);
  for (auto i = static_cast<int64_t>(order.size()) - 1; i > 0; --i)
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(random.below(i + 1))]);
  return order;
}

std::array<std::vector<std::string>, 3> deal(const std::set<std::string>& patients, double train, double validation,
                                             uint64_t seed) {
  const auto n = static_cast<int64_t>(patients.size());
  const int64_t needed = validation > 0 ? 3 : 2;
  IVORY_CHECK(n >= needed, "splits by share need at least ", needed, " labelled patients, the data have ", n,
              "; list the splits instead");
  const auto share = [&](double part) { return std::max<int64_t>(1, std::llround(part * static_cast<double>(n))); };
  const int64_t validated = validation > 0 ? std::min(share(validation), n - 2) : 0;
  const int64_t trained = std::min(share(train), n - validated - 1);
  const auto order = permuted(patients, seed);
  const auto begin = order.begin();
  return {std::vector(begin, begin + trained), std::vector(begin + trained, begin + trained + validated),
          std::vector(begin + trained + validated, order.end())};
}

}  // namespace ivory::data
