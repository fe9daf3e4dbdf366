#include "data/sampler.h"

#include <ivory/random.h>

#include <algorithm>
#include <numeric>

namespace ivory::data {
namespace {

// Parts of the random space (CounterRandom's `sample`) that no view of a sample uses.
constexpr uint64_t order_stream = ~uint64_t{0};

int64_t global_batch(const LoaderOptions& options) {
  return options.batch_size * options.world_size;
}

// Samples of an epoch over all processes, after dropping or repeating.
int64_t used(int64_t count, const LoaderOptions& options) {
  const int64_t batch = global_batch(options);
  return options.drop_last ? std::max<int64_t>(1, count / batch) * batch : count;
}

}  // namespace

std::vector<int64_t> permutation(int64_t count, uint64_t seed, uint64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  CounterRandom random(seed, epoch, order_stream, 0);
  for (int64_t i = count - 1; i > 0; --i)
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(random.below(i + 1))]);
  return order;
}

std::vector<int64_t> epoch_order(int64_t count, const LoaderOptions& options, int64_t epoch) {
  if (options.shuffle) return permutation(count, options.seed, static_cast<uint64_t>(epoch));
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

std::vector<int64_t> block_order(std::span<const std::array<int32_t, 2>> samples, int64_t block, uint64_t seed,
                                 uint64_t epoch) {
  std::vector<int64_t> starts;  // of volumes
  for (size_t i = 0; i < samples.size(); ++i)
    if (i == 0 || samples[i][0] != samples[i - 1][0]) starts.push_back(static_cast<int64_t>(i));
  const auto volumes = static_cast<int64_t>(starts.size());
  starts.push_back(static_cast<int64_t>(samples.size()));
  const std::vector<int64_t> order = permutation(volumes, mix(seed, 3), epoch);
  std::vector<int64_t> all, members;
  for (int64_t first = 0; first < volumes; first += block) {
    members.clear();
    for (int64_t i = first; i < std::min(first + block, volumes); ++i) {
      const auto volume = static_cast<size_t>(order[static_cast<size_t>(i)]);
      for (int64_t sample = starts[volume]; sample < starts[volume + 1]; ++sample) members.push_back(sample);
    }
    const auto mixed =
        permutation(static_cast<int64_t>(members.size()), mix(mix(seed, 4), static_cast<uint64_t>(first)), epoch);
    for (const int64_t place : mixed) all.push_back(members[static_cast<size_t>(place)]);
  }
  return all;
}

uint64_t view_stream(const Draw& draw, size_t view) {
  return static_cast<uint64_t>(draw.copy) << 32 | view;
}

torch::Tensor sample_ids(std::span<const Draw> draws) {
  torch::Tensor ids = torch::empty({static_cast<int64_t>(draws.size())}, torch::kInt64);
  std::transform(draws.begin(), draws.end(), ids.data_ptr<int64_t>(), [](const Draw& draw) { return draw.sample; });
  return ids;
}

int64_t batch_count(int64_t count, const LoaderOptions& options) {
  const int64_t batch = global_batch(options), total = used(count, options);
  const int64_t left = total % batch;
  return total / batch + (left > options.rank * options.batch_size ? 1 : 0);
}

std::vector<Draw> share(const std::vector<int64_t>& epoch, const LoaderOptions& options) {
  const auto count = static_cast<int64_t>(epoch.size());
  const int64_t total = used(count, options);
  std::vector<Draw> draws;
  for (int64_t start = options.rank * options.batch_size; start < total; start += global_batch(options))
    for (int64_t i = start; i < std::min(start + options.batch_size, total); ++i)
      draws.push_back({epoch[static_cast<size_t>(i % count)], i / count});
  return draws;
}

std::vector<int64_t> balance(const std::vector<int64_t>& first, const std::vector<int64_t>& second, uint64_t seed,
                             uint64_t epoch) {
  const auto first_order = permutation(static_cast<int64_t>(first.size()), mix(seed, 1), epoch);
  const auto second_order = permutation(static_cast<int64_t>(second.size()), mix(seed, 2), epoch);
  std::vector<int64_t> joined;
  for (size_t i = 0; i < first.size(); ++i) {
    joined.push_back(first[static_cast<size_t>(first_order[i])]);
    if (!second.empty()) joined.push_back(second[static_cast<size_t>(second_order[i % second.size()])]);
  }
  return joined;
}

}  // namespace ivory::data
