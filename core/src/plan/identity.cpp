#include "plan/identity.h"

#include <nlohmann/json.hpp>

#include "base/hash.h"
#include "base/json_text.h"

namespace ivory::experiment {

std::string hash_of(const nlohmann::json& value) {
  return base::hash128(base::dump(value));
}

}  // namespace ivory::experiment
