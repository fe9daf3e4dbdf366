#pragma once
// A deformable transformer that is small enough for exact comparisons.
#include "support/plugins.h"

namespace ivory::test {

inline Settings small_transformer(const std::string& axis, const std::string& bias) {
  return {{"axis", axis},
          {"bias", bias},
          {"layers", int64_t{2}},
          {"heads", int64_t{4}},
          {"head_width", int64_t{3}},
          {"groups", int64_t{2}},
          {"downsampling", int64_t{2}},
          {"kernel", int64_t{4}},
          {"ffn", int64_t{8}},
          {"dropout", 0.0}};
}

}  // namespace ivory::test
