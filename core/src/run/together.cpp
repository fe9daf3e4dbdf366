#include "run/together.h"

#include <ivory/error.h>

#include <nlohmann/json.hpp>

#include "base/json_text.h"

namespace ivory::experiment {
namespace {

torch::Tensor bytes_of(const std::string& text) {
  const auto size = static_cast<int64_t>(text.size());
  return torch::from_blob(const_cast<char*>(text.data()), {size}, torch::kUInt8).clone();
}

std::string text_of(const torch::Tensor& bytes) {
  return {reinterpret_cast<const char*>(bytes.data_ptr<uint8_t>()), static_cast<size_t>(bytes.numel())};
}

}  // namespace

OpenData open_together(const config::Experiment& experiment, const Collective& group) {
  if (group.rank() == 0) {
    OpenData opened = open_data(experiment, /*build=*/true);
    group.barrier();
    return opened;
  }
  group.barrier();
  return open_data(experiment, /*build=*/false);
}

bool agree(bool mine, const std::string& identity, const Collective& group) {
  torch::Tensor decision = torch::full({1}, int64_t{mine}, torch::kLong);
  group.broadcast(decision);
  const std::string all = text_of(group.all_gather(bytes_of(identity + ".")));
  std::string expected;
  for (int64_t rank = 0; rank < group.world_size(); ++rank) expected += identity + ".";
  if (all != expected) {
    throw run_failed("the processes do not see the same experiment: this one's identity of the next stage is '",
                     identity, "', all have ", all, "; give all machines the same files and caches");
  }
  return decision.item<int64_t>() != 0;
}

std::map<std::string, std::string> join_failures(const std::map<std::string, std::string>& mine,
                                                 const Collective& group) {
  std::map<std::string, std::string> all = mine;
  if (group.world_size() == 1) return all;
  const std::string lines = text_of(group.all_gather(bytes_of(base::dump(mine) + "\n")));
  for (size_t begin = 0, end; (end = lines.find('\n', begin)) != std::string::npos; begin = end + 1) {
    all.merge(base::parse_json(lines.substr(begin, end - begin)).get<std::map<std::string, std::string>>());
  }
  return all;
}

}  // namespace ivory::experiment
