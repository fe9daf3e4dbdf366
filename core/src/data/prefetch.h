#pragma once
// Worker threads that fill batches sample by sample, ahead of their use and within a bound of memory. What a batch
// holds depends on the recipe alone, not on who fills it or when.

#include <ivory/error.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "data/sampler.h"

namespace ivory::data {

// How batches are made. All but `fill` are called under a lock; `fill` from several threads at once.
template <class T>
class Recipe {
 public:
  virtual ~Recipe() = default;
  virtual int64_t batches() const = 0;
  virtual std::vector<Draw> draws(int64_t epoch) const = 0;   // of all batches of this process, in order
  virtual int64_t bytes(int64_t samples) const = 0;           // of a batch
  virtual T allocate(std::span<const Draw> draws) const = 0;  // ids filled in
  virtual void fill(T& batch, int64_t position, const Draw& draw, int64_t epoch) const = 0;
  virtual std::vector<std::string> remarks() const { return {}; }  // as BatchSource's
};

template <class T>
class Prefetcher : public BatchSource<T> {
 public:
  Prefetcher(std::unique_ptr<const Recipe<T>> recipe, const LoaderOptions& options)
      : recipe_(std::move(recipe)), batch_size_(options.batch_size), limit_(options.prefetch_mib << 20) {
    IVORY_CHECK(batch_size_ > 0, "a batch of ", batch_size_, " samples for each of ", options.world_size,
                " processes, expected at least one for each");
    for (int64_t i = 0; i < options.workers; ++i) threads_.emplace_back([this] { work(); });
  }
  ~Prefetcher() override {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_workers_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  int64_t batches() const override { return recipe_->batches(); }
  void start(int64_t epoch, int64_t first_batch) override;
  std::optional<T> next() override;
  int64_t queued_bytes() const override {
    const std::lock_guard lock(mutex_);
    return queued_;
  }
  std::vector<std::string> remarks() const override { return recipe_->remarks(); }

 private:
  // For each worker: enough to even out what samples take; more would be made for nobody where training ends.
  static constexpr size_t batches_ahead = 4;

  struct Slot {
    T batch;
    std::shared_ptr<const std::vector<Draw>> epoch_draws;
    std::span<const Draw> draws;
    int64_t epoch = 0;
    int64_t bytes = 0;
    int64_t claimed = 0;
    int64_t unfinished = 0;
    int64_t failed_position = 0;
    std::exception_ptr error;
  };

  std::shared_ptr<Slot> open_slot();
  std::shared_ptr<Slot> claimable();
  void fill_next(const std::shared_ptr<Slot>& slot, std::unique_lock<std::mutex>& lock);
  void work();

  const std::unique_ptr<const Recipe<T>> recipe_;
  const int64_t batch_size_, limit_;
  mutable std::mutex mutex_;
  std::condition_variable wake_workers_, batch_ready_;
  std::deque<std::shared_ptr<Slot>> slots_;  // in order; all but the last are claimed completely
  std::shared_ptr<const std::vector<Draw>> draws_;
  int64_t epoch_ = 0, next_batch_ = 0, queued_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

template <class T>
void Prefetcher<T>::start(int64_t epoch, int64_t first_batch) {
  auto draws = std::make_shared<const std::vector<Draw>>(recipe_->draws(epoch));
  {
    const std::lock_guard lock(mutex_);
    slots_.clear();
    queued_ = 0;
    draws_ = std::move(draws);
    epoch_ = epoch;
    next_batch_ = first_batch;
  }
  wake_workers_.notify_all();
}

template <class T>
std::optional<T> Prefetcher<T>::next() {
  if (!draws_) start(0, 0);
  std::unique_lock lock(mutex_);
  if (slots_.empty() && next_batch_ >= recipe_->batches()) return std::nullopt;
  if (threads_.empty()) {
    const auto slot = open_slot();
    while (slot->unfinished > 0) fill_next(slot, lock);
  }
  batch_ready_.wait(lock, [this] { return !slots_.empty() && slots_.front()->unfinished == 0; });
  const auto slot = slots_.front();
  slots_.pop_front();
  queued_ -= slot->bytes;
  lock.unlock();
  wake_workers_.notify_all();
  if (slot->error) std::rethrow_exception(slot->error);
  return std::move(slot->batch);
}

// The next batch of the epoch, empty as yet.
template <class T>
std::shared_ptr<typename Prefetcher<T>::Slot> Prefetcher<T>::open_slot() {
  const auto total = static_cast<int64_t>(draws_->size());
  const int64_t first = next_batch_ * batch_size_, count = std::min(batch_size_, total - first);
  auto slot = std::make_shared<Slot>();
  slot->epoch_draws = draws_;
  slot->draws = std::span(*draws_).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
  slot->epoch = epoch_;
  slot->bytes = recipe_->bytes(count);
  ++next_batch_;
  try {
    slot->batch = recipe_->allocate(slot->draws);
    slot->unfinished = count;
  } catch (...) {
    slot->error = std::current_exception();
    slot->claimed = count;
    batch_ready_.notify_all();
  }
  queued_ += slot->bytes;
  slots_.push_back(slot);
  return slot;
}

// A batch with a sample that nobody has claimed; null when there is nothing to do now.
template <class T>
std::shared_ptr<typename Prefetcher<T>::Slot> Prefetcher<T>::claimable() {
  if (!draws_) return nullptr;
  if (!slots_.empty() && slots_.back()->claimed < static_cast<int64_t>(slots_.back()->draws.size()))
    return slots_.back();
  if (next_batch_ >= recipe_->batches()) return nullptr;
  if (slots_.size() >= batches_ahead * threads_.size()) return nullptr;
  if (!slots_.empty() && queued_ + recipe_->bytes(batch_size_) > limit_) return nullptr;
  const auto slot = open_slot();
  return slot->unfinished > 0 ? slot : nullptr;
}

// Fills one sample, outside the lock. Of several failures the one of the first sample is kept.
template <class T>
void Prefetcher<T>::fill_next(const std::shared_ptr<Slot>& slot, std::unique_lock<std::mutex>& lock) {
  const int64_t position = slot->claimed++;
  lock.unlock();
  std::exception_ptr error;
  try {
    recipe_->fill(slot->batch, position, slot->draws[static_cast<size_t>(position)], slot->epoch);
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  if (error && (!slot->error || position < slot->failed_position)) {
    slot->error = error;
    slot->failed_position = position;
  }
  if (--slot->unfinished == 0) batch_ready_.notify_all();
}

template <class T>
void Prefetcher<T>::work() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (const auto slot = claimable())
      fill_next(slot, lock);
    else if (!stop_)
      wake_workers_.wait(lock);
  }
}

}  // namespace ivory::data
