#pragma once
// Values of tests/reference/*.json, and the numbers that both the generators and the tests fill tensors with.
#include <gtest/gtest.h>
#include <ivory/torch.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "support/paths.h"

namespace ivory::test {

inline nlohmann::json golden(const std::string& name) {
  std::ifstream file(test::source_dir() + "/tests/reference/" + name + ".json");
  if (!file) throw std::runtime_error("tests/reference/" + name + ".json is missing");
  return nlohmann::json::parse(file);
}

// Doubles in [shift - scale, shift + scale), from a hash of the element's number and `salt`: tests/reference/fill.py
// gives the same bits.
inline torch::Tensor fill(torch::IntArrayRef shape, uint64_t salt, double scale = 1, double shift = 0) {
  auto made = torch::empty(shape, torch::kDouble);
  auto* out = made.data_ptr<double>();
  for (int64_t i = 0; i < made.numel(); ++i) {
    uint64_t x = (static_cast<uint64_t>(i + 1) * 2654435761U + salt * 40503U) & 0xffffffffU;
    x ^= x >> 16;
    x = (x * 2246822519U) & 0xffffffffU;
    x ^= x >> 13;
    x = (x * 3266489917U) & 0xffffffffU;
    x ^= x >> 16;
    out[i] = shift + scale * (static_cast<double>(x) / 2147483648.0 - 1.0);
  }
  return made;
}

// A tensor's summary in a golden file: shape, a dot product with fill(shape, 999), the norm and some of its values.
// Tolerances are relative to the norm, or to `least` where that is greater.
inline void expect_summary(const torch::Tensor& tensor, const nlohmann::json& expected, double tolerance,
                           const std::string& what, double least = 1e-3) {
  SCOPED_TRACE(what);
  ASSERT_EQ(tensor.sizes().vec(), expected.at("shape").get<std::vector<int64_t>>());
  const auto flat = tensor.detach().to(torch::kDouble).contiguous().view({-1});
  const double norm = expected.at("norm").get<double>(), scale = std::max(norm, least);
  EXPECT_NEAR(flat.norm().item<double>(), norm, tolerance * scale);
  EXPECT_NEAR(flat.dot(fill({flat.numel()}, 999)).item<double>(), expected.at("dot").get<double>(), tolerance * scale);
  const auto values = expected.at("values").get<std::vector<double>>();
  const int64_t stride = std::max<int64_t>(1, flat.numel() / static_cast<int64_t>(values.size()));
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_NEAR(flat[static_cast<int64_t>(i) * stride].item<double>(), values[i], tolerance * scale) << "value " << i;
  }
}

// Of every parameter. Terms that cancel leave their rounding behind (some gradients are 0, as a softmax does not see a
// constant), which in single precision shows: there a hundredth of the whole gradient's norm is the least scale.
inline void expect_gradients(const torch::nn::Module& module, const nlohmann::json& expected, double tolerance) {
  double squares = 0;
  for (const auto& one : expected) squares += std::pow(one.at("norm").get<double>(), 2);
  const auto parameters = module.named_parameters();
  EXPECT_EQ(parameters.size(), expected.size());
  for (const auto& named : parameters) {
    const bool single = named.value().scalar_type() == torch::kFloat;
    expect_summary(named.value().grad(), expected.at(named.key()), tolerance, named.key(),
                   single ? 0.01 * std::sqrt(squares) : 1e-3);
  }
}

}  // namespace ivory::test
