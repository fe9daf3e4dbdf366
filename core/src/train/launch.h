#pragma once
// Which process of how many this is, as torchrun, srun or mpirun say it in the environment (their conventions, none of
// our own).

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace ivory::train {

struct Launch {
  int64_t rank = 0;
  int64_t local_rank = 0;  // on this machine: the number of its GPU
  int64_t world_size = 1;
  std::string host = "127.0.0.1";  // where rank 0 serves the store
  int64_t port = 29500;
  std::string attempt = "0/0";  // run and restart: a restarted job must not meet the keys of the one before
  bool agent_store = false;     // torchrun serves the store, not rank 0
};

// Reads an environment variable; null when it is not set.
using Environment = std::function<const char*(const char* name)>;

// Empty when this process was started alone. Throws bad_request when a launcher's variables are incomplete or no
// numbers.
std::optional<Launch> launch_of(const Environment& environment);

}  // namespace ivory::train
