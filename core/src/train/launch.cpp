#include "train/launch.h"

#include <ivory/error.h>

#include <charconv>

namespace ivory::train {
namespace {

// The names that one launcher gives to the same things; null where it has none. `sign` tells that it started this
// process: a batch script has Slurm's rank and number of tasks, too, but only srun makes steps. torchrun and mpirun
// come first: in a Slurm job they are started in a step themselves.
struct Names {
  const char *launcher, *sign, *rank, *local_rank, *world_size, *run, *restart;
};

constexpr Names launchers[] = {
    {"torchrun", "RANK", "RANK", "LOCAL_RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT"},
    {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE",
     nullptr, nullptr},
    {"srun", "SLURM_STEP_ID", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS", "SLURM_JOB_ID",
     "SLURM_RESTART_COUNT"},
};

int64_t number(const char* name, const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  IVORY_CHECK(error == std::errc() && end == text.data() + text.size() && value >= 0, "the environment variable ", name,
              " must be a number, but is '", text, "'");
  return value;
}

int64_t required(const Environment& environment, const Names& names, const char* name) {
  const char* text = environment(name);
  IVORY_CHECK(text, names.launcher, " sets ", names.sign, ", but ", name, " is missing in the environment");
  return number(name, text);
}

std::string text_or(const Environment& environment, const char* name, const std::string& fallback) {
  const char* text = name ? environment(name) : nullptr;
  return text ? text : fallback;
}

// The first host of a Slurm node list: "node[03-07,9],gpu1" → "node03".
std::string first_host(const std::string& list) {
  const size_t bracket = list.find('['), comma = list.find(',');
  if (bracket == std::string::npos || comma < bracket) return list.substr(0, comma);
  const size_t end = list.find_first_of("-,]", bracket);
  return list.substr(0, bracket) + list.substr(bracket + 1, end - bracket - 1);
}

// Steps of one job, and jobs of one node, must not meet at one port.
void find_store(const Environment& environment, Launch& launch) {
  if (const char* step = environment("SLURM_STEP_ID"); step && !environment("MASTER_ADDR")) {
    launch.host = first_host(text_or(environment, "SLURM_STEP_NODELIST", launch.host));
    const int64_t job = number("SLURM_JOB_ID", text_or(environment, "SLURM_JOB_ID", "0"));
    launch.port = 10000 + (16 * job + number("SLURM_STEP_ID", step)) % 50000;
  }
  launch.host = text_or(environment, "MASTER_ADDR", launch.host);
  if (const char* port = environment("MASTER_PORT")) launch.port = number("MASTER_PORT", port);
}

}  // namespace

std::optional<Launch> launch_of(const Environment& environment) {
  for (const Names& names : launchers) {
    if (!environment(names.sign)) continue;
    Launch launch;
    launch.rank = required(environment, names, names.rank);
    launch.world_size = required(environment, names, names.world_size);
    launch.local_rank = required(environment, names, names.local_rank);
    IVORY_CHECK(launch.rank < launch.world_size, names.rank, " = ", launch.rank, " must be below ", names.world_size,
                " = ", launch.world_size);
    if (launch.world_size == 1) return std::nullopt;
    launch.attempt = text_or(environment, names.run, "0") + "/" + text_or(environment, names.restart, "0");
    launch.agent_store = text_or(environment, "TORCHELASTIC_USE_AGENT_STORE", "False") == "True";
    find_store(environment, launch);
    return launch;
  }
  return std::nullopt;
}

}  // namespace ivory::train
