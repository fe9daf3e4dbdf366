#include "plan/identity.h"

#include <xxhash.h>

#include <nlohmann/json.hpp>

namespace ivory::experiment {

std::string hash_of(const nlohmann::json& value) {
  const std::string text = value.dump();
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  char hex[33];
  std::snprintf(hex, sizeof hex, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return hex;
}

}  // namespace ivory::experiment
