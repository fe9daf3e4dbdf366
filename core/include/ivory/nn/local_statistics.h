#pragma once
// Batch normalisation within this process, where a method does not want the joint statistics that the trainer sets up.

#include <ivory/collective.h>

namespace ivory::nn {

// While it lives, batch normalisations that this thread calls see this process's batch alone.
class LocalStatistics {
 public:
  LocalStatistics();
  ~LocalStatistics();
  LocalStatistics(const LocalStatistics&) = delete;
  LocalStatistics& operator=(const LocalStatistics&) = delete;

 private:
  const Collective* before_;
};

}  // namespace ivory::nn
