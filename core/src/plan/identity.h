#pragma once
// Content-addressed parts: what a result depends on, as one hash.

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace ivory::experiment {

// XXH3-128 of the canonical dump (sorted keys), 32 hexadecimal digits.
std::string hash_of(const nlohmann::json& value);

}  // namespace ivory::experiment
