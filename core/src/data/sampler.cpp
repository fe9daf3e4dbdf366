#include "data/sampler.h"

#include <ivory/error.h>
#include <ivory/random.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ivory::data {
namespace {

// Parts of the random space (CounterRandom's `sample`) that no view of a sample uses.
constexpr uint64_t order_stream = ~uint64_t{0};
constexpr uint64_t pass_stream = 5;  // mixed into the seed: passes through one cache

int64_t global_batch(const LoaderOptions& options) {
  return options.batch_size * options.world_size;
}

std::vector<int64_t> samples_by_cache(const DataSet& data, SampleKind kind) {
  std::vector<int64_t> counts(data.caches.size());
  const auto cache_of = [&](int32_t volume) {
    return static_cast<size_t>(data.volumes[static_cast<size_t>(volume)].cache);
  };
  if (kind == SampleKind::slice)
    for (const auto& [volume, slice] : data.slices) ++counts[cache_of(volume)];
  else
    for (const int32_t volume : data.stacks) ++counts[cache_of(volume)];
  return counts;
}

// Samples of an epoch over all processes, after dropping or repeating.
int64_t used(int64_t count, const LoaderOptions& options) {
  const int64_t batch = global_batch(options);
  if (options.fill_last) return (count + batch - 1) / batch * batch;
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
  std::vector<Draw> draws(epoch.size());
  std::ranges::transform(epoch, draws.begin(), [](int64_t sample) { return Draw{.sample = sample}; });
  return share(draws, options);
}

std::vector<Draw> share(const std::vector<Draw>& epoch, const LoaderOptions& options) {
  const auto count = static_cast<int64_t>(epoch.size());
  const int64_t total = used(count, options);
  int64_t copies = 1;  // of one sample within the epoch, at most
  for (const Draw& draw : epoch) copies = std::max(copies, draw.copy + 1);
  std::vector<Draw> draws;
  for (int64_t start = options.rank * options.batch_size; start < total; start += global_batch(options)) {
    for (int64_t i = start; i < std::min(start + options.batch_size, total); ++i) {
      const Draw& draw = epoch[static_cast<size_t>(i % count)];
      draws.push_back({draw.sample, draw.copy + i / count * copies});
    }
  }
  return draws;
}

std::vector<int64_t> quotas(std::span<const int64_t> counts, std::span<const double> weights, int64_t total) {
  double sum = 0;
  for (size_t i = 0; i < counts.size(); ++i) sum += counts[i] > 0 ? weights[i] : 0;
  std::vector<int64_t> given(counts.size());
  const auto wanted = [&](size_t i) { return counts[i] > 0 ? static_cast<double>(total) * weights[i] / sum : 0; };
  for (size_t i = 0; i < counts.size(); ++i)
    given[i] = std::max<int64_t>(counts[i] > 0 ? 1 : 0, static_cast<int64_t>(std::floor(wanted(i))));
  // What rounding leaves goes to whoever is farthest below its part; what it took too much, to the one farthest above.
  const auto ahead = [&](size_t i) { return static_cast<double>(given[i]) - wanted(i); };
  std::vector<size_t> order(counts.size());
  for (int64_t left = total - std::reduce(given.begin(), given.end()); left != 0; left += left > 0 ? -1 : 1) {
    order.clear();
    for (size_t i = 0; i < counts.size(); ++i)
      if (counts[i] > 0 && (left > 0 || given[i] > 1)) order.push_back(i);
    const auto [least, most] = std::ranges::minmax_element(order, {}, ahead);
    given[left > 0 ? *least : *most] += left > 0 ? 1 : -1;
  }
  return given;
}

std::vector<Draw> weighted_draws(std::span<const int64_t> counts, std::span<const double> weights, uint64_t seed,
                                 uint64_t epoch) {
  const int64_t total = std::reduce(counts.begin(), counts.end());
  const auto parts = quotas(counts, weights, total);
  std::vector<Draw> draws;
  draws.reserve(static_cast<size_t>(total));
  int64_t first_sample = 0;
  for (size_t cache = 0; cache < counts.size(); ++cache) {
    const auto size = static_cast<uint64_t>(counts[cache]), part = static_cast<uint64_t>(parts[cache]);
    std::vector<int64_t> times(size);  // each sample is drawn
    std::vector<int64_t> order;
    for (uint64_t at = epoch * part; at < (epoch + 1) * part; ++at) {
      if (order.empty() || at % size == 0)
        order = permutation(counts[cache], mix(mix(seed, pass_stream), cache), at / size);
      ++times[static_cast<size_t>(order[at % size])];
    }
    for (uint64_t sample = 0; sample < size; ++sample)
      for (int64_t copy = 0; copy < times[sample]; ++copy)
        draws.push_back({first_sample + static_cast<int64_t>(sample), copy});
    first_sample += counts[cache];
  }
  return draws;
}

std::vector<Draw> epoch_draws(const DataSet& data, SampleKind kind, const LoaderOptions& options, int64_t epoch) {
  const bool weighted = options.shuffle && !options.cache_weights.empty();
  const bool blocks = options.shuffle && options.shuffle_volumes > 0 && kind == SampleKind::slice;
  const auto number = static_cast<uint64_t>(epoch);
  if (!weighted) {
    return share(blocks ? block_order(data.slices, options.shuffle_volumes, options.seed, number)
                        : epoch_order(data.samples(kind), options, epoch),
                 options);
  }
  const auto chosen = weighted_draws(samples_by_cache(data, kind), options.cache_weights, options.seed, number);
  std::vector<std::array<int32_t, 2>> places;
  if (blocks)
    for (const Draw& draw : chosen) places.push_back(data.slices[static_cast<size_t>(draw.sample)]);
  const auto order = blocks ? block_order(places, options.shuffle_volumes, options.seed, number)
                            : permutation(static_cast<int64_t>(chosen.size()), options.seed, number);
  std::vector<Draw> mixed;
  mixed.reserve(chosen.size());
  for (const int64_t place : order) mixed.push_back(chosen[static_cast<size_t>(place)]);
  return share(mixed, options);
}

void check_draws(const DataSet& data, SampleKind kind, const LoaderOptions& options) {
  const bool slices = kind == SampleKind::slice;
  const char* only_images = data.volumes.empty() ? "" : ", only images of one slice";
  IVORY_CHECK(data.samples(kind) > 0, "the data set holds no ", slices ? "slices" : "volumes",
              slices ? "" : only_images, ", expected at least one");
  if (options.cache_weights.empty()) return;
  IVORY_CHECK(options.cache_weights.size() == data.caches.size(), options.cache_weights.size(), " weights of ",
              data.caches.size(), " caches, expected one for each");
  for (const double weight : options.cache_weights)
    IVORY_CHECK(std::isfinite(weight) && weight > 0, "a cache's weight of ", weight, ", expected a positive number");
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

LabelBalance::LabelBalance(const std::vector<int64_t>& labels, double negatives) {
  for (size_t i = 0; i < labels.size(); ++i)
    (labels[i] != 0 ? positive_ : negative_).push_back(static_cast<int64_t>(i));
  IVORY_CHECK(!positive_.empty(), "none of the split's ", labels.size(),
              " samples is positive, expected at least one for balanced training");
  const auto wanted = static_cast<int64_t>(std::llround(negatives * static_cast<double>(positive_.size())));
  drawn_ = std::min(wanted, static_cast<int64_t>(negative_.size()));
}

std::vector<int64_t> LabelBalance::draw(uint64_t seed, uint64_t epoch) const {
  std::vector<int64_t> chosen = positive_;
  const auto order = permutation(static_cast<int64_t>(negative_.size()), mix(seed, 2), epoch);
  for (int64_t i = 0; i < drawn_; ++i) chosen.push_back(negative_[static_cast<size_t>(order[static_cast<size_t>(i)])]);
  std::vector<int64_t> mixed;
  for (const int64_t place : permutation(static_cast<int64_t>(chosen.size()), mix(seed, 1), epoch))
    mixed.push_back(chosen[static_cast<size_t>(place)]);
  return mixed;
}

}  // namespace ivory::data
