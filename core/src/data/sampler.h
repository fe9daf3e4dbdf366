#pragma once
// Which samples make up the batches of an epoch, for every process alike: a pure function of the seed and the epoch.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "data/loader.h"

namespace ivory::data {

// One sample of an epoch. `copy` counts its earlier occurrences when a small data set is repeated to fill a batch.
struct Draw {
  int64_t sample = 0;
  int64_t copy = 0;
};

// 0 … count - 1 in a random order.
std::vector<int64_t> permutation(int64_t count, uint64_t seed, uint64_t epoch);

// 0 … count - 1, in the epoch's random order when options.shuffle.
std::vector<int64_t> epoch_order(int64_t count, const LoaderOptions& options, int64_t epoch);

// Samples whose volumes (first number, ascending) are read `block` at a time: volumes in the epoch's random order, the
// samples of each block of them mixed. One block of all volumes is a permutation like any other.
std::vector<int64_t> block_order(std::span<const std::array<int32_t, 2>> samples, int64_t block, uint64_t seed,
                                 uint64_t epoch);

// CounterRandom's `view` for a view of a draw: repeated samples get other views.
uint64_t view_stream(const Draw& draw, size_t view);

// The draws' samples, [B] int64.
torch::Tensor sample_ids(std::span<const Draw> draws);

// Batches of this process in an epoch of `count` samples: with drop_last or fill_last the same for all processes, else
// only those that hold a sample of this process.
int64_t batch_count(int64_t count, const LoaderOptions& options);

// This process's part of an epoch, batch after batch. Global batch g is samples [g·B·W, (g+1)·B·W) of `epoch`; process
// r has its r-th B of them.
std::vector<Draw> share(const std::vector<int64_t>& epoch, const LoaderOptions& options);
std::vector<Draw> share(const std::vector<Draw>& epoch, const LoaderOptions& options);

// How many of `total` samples each cache gives: in proportion to the weights, rounded, at least one; of caches without
// samples none. total ≥ number of caches with samples.
std::vector<int64_t> quotas(std::span<const int64_t> counts, std::span<const double> weights, int64_t total);

// An epoch over caches of `counts` samples, numbered through: as many samples as there are, from each cache its quota,
// in ascending order. Each cache's samples come in passes through all of them that go on from epoch to epoch.
std::vector<Draw> weighted_draws(std::span<const int64_t> counts, std::span<const double> weights, uint64_t seed,
                                 uint64_t epoch);

// This process's part of an epoch of slices or volumes, as the options ask for it.
std::vector<Draw> epoch_draws(const DataSet& data, SampleKind kind, const LoaderOptions& options, int64_t epoch);

// Throws where options.cache_weights do not fit the data, or these hold no sample of the kind.
void check_draws(const DataSet& data, SampleKind kind, const LoaderOptions& options);

// Each of `first` once, alternating with as many of `second` (repeated when there are fewer; none when there are none).
std::vector<int64_t> balance(const std::vector<int64_t>& first, const std::vector<int64_t>& second, uint64_t seed,
                             uint64_t epoch);

// Epochs of all samples whose label is not 0, and of some whose label is: `negatives` for each of the others, as far as
// there are, drawn anew in every epoch without replacement; in random order.
class LabelBalance {
 public:
  // Throws bad_request when every label is 0.
  LabelBalance(const std::vector<int64_t>& labels, double negatives);
  int64_t count() const { return static_cast<int64_t>(positive_.size()) + drawn_; }  // of an epoch
  std::vector<int64_t> draw(uint64_t seed, uint64_t epoch) const;                    // places of labels

 private:
  std::vector<int64_t> positive_, negative_;
  int64_t drawn_ = 0;  // of the negatives
};

}  // namespace ivory::data
