#pragma once
// The batch of all processes together.

#include <ivory/collective.h>
#include <ivory/error.h>

namespace ivory::nn {

// Every process takes as many samples of it: means over processes are then means over the joint batch.
inline void check_joint_batch(int64_t batch_size, const Collective& group) {
  const int64_t processes = group.world_size();
  IVORY_CHECK(batch_size <= 0 || batch_size % processes == 0, "batch_size = ", batch_size, " cannot be dealt out to ",
              processes, " processes evenly: use ", processes, " or another multiple of it");
}

}  // namespace ivory::nn
