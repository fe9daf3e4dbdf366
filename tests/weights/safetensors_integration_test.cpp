// Files between Ivory and the safetensors package of Python.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "support/python.h"
#include "weights/safetensors.h"

namespace ivory::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class SafetensorsInPython : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::python_has("safetensors")) GTEST_SKIP() << "the safetensors package is missing (scripts/test adds it)";
  }
  ~SafetensorsInPython() override { fs::remove(file_); }

  fs::path file_ = fs::temp_directory_path() / ("ivory-peer-" + std::to_string(::getpid()) + ".safetensors");
};

std::string hex(const torch::Tensor& tensor) {
  const auto bytes = tensor.contiguous();
  std::string text;
  for (size_t i = 0; i < bytes.nbytes(); ++i) {
    const auto byte = static_cast<const uint8_t*>(bytes.const_data_ptr())[i];
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

TEST_F(SafetensorsInPython, ReadsWhatIvoryWrites) {
  const std::vector<std::pair<torch::ScalarType, const char*>> types = {
      {torch::kFloat64, "F64"},        {torch::kFloat32, "F32"},      {torch::kFloat16, "F16"},
      {torch::kBFloat16, "BF16"},      {torch::kInt64, "I64"},        {torch::kInt32, "I32"},
      {torch::kInt16, "I16"},          {torch::kInt8, "I8"},          {torch::kUInt8, "U8"},
      {torch::kUInt16, "U16"},         {torch::kUInt32, "U32"},       {torch::kUInt64, "U64"},
      {torch::kBool, "BOOL"},          {torch::kComplexFloat, "C64"}, {torch::kFloat8_e4m3fn, "F8_E4M3"},
      {torch::kFloat8_e5m2, "F8_E5M2"}};
  NamedTensors tensors = {{"scalar", torch::tensor(1.5)}, {"empty", torch::zeros({2, 0})}};
  for (const auto& [type, name] : types) tensors.emplace_back(name, (torch::arange(12) % 7).reshape({3, 4}).to(type));
  save_safetensors(file_, {tensors, {{"format", "pt"}, {"note", "Größe"}}});
  const auto read = json::parse(test::run_python("weights/safetensors_peer.py", {"read", file_.string()}));
  EXPECT_EQ(read["metadata"], (json{{"format", "pt"}, {"note", "Größe"}}));
  ASSERT_EQ(read["tensors"].size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const json& found = read["tensors"][name];
    EXPECT_EQ(found["dtype"], tensor.dim() == 2 && tensor.numel() ? name : "F32");
    EXPECT_EQ(found["shape"].get<std::vector<int64_t>>(), tensor.sizes().vec()) << name;
    EXPECT_EQ(found["data"], hex(tensor)) << name;
  }
}

TEST_F(SafetensorsInPython, WritesWhatIvoryReads) {
  test::run_python("weights/safetensors_peer.py", {"write", file_.string()});
  const TensorFile read = load_safetensors(file_);
  EXPECT_EQ(read.metadata.at("author"), "Größe");
  const std::map<std::string, torch::ScalarType> types = {
      {"float64", torch::kFloat64}, {"float32", torch::kFloat32}, {"float16", torch::kFloat16},
      {"int64", torch::kInt64},     {"int32", torch::kInt32},     {"int16", torch::kInt16},
      {"int8", torch::kInt8},       {"uint8", torch::kUInt8},     {"uint16", torch::kUInt16},
      {"uint32", torch::kUInt32},   {"uint64", torch::kUInt64},   {"bool", torch::kBool}};
  size_t seen = 0;
  for (const auto& [name, tensor] : read.tensors) {
    if (!types.count(name)) continue;
    ++seen;
    EXPECT_EQ(tensor.scalar_type(), types.at(name)) << name;
    EXPECT_EQ(hex(tensor), hex(torch::arange(6).reshape({2, 3}).to(types.at(name)))) << name;
  }
  EXPECT_EQ(seen, types.size());
  EXPECT_EQ(read.tensors.size(), types.size() + 2) << "and a scalar, and an empty one";
}

}  // namespace
}  // namespace ivory::train
