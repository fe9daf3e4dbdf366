// Round trips, and foreign bytes in the place of a weights file: an error in one sentence, never anything else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ivory/random.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "support/errors.h"
#include "weights/safetensors.h"

namespace ivory::train {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Safetensors : public testing::Test {
 protected:
  fs::path file() const {
    const std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    return fs::path(testing::TempDir()) / ("ivory-" + name + "-" + std::to_string(::getpid()) + ".safetensors");
  }
  ~Safetensors() override { fs::remove(file()); }

  void write(const std::string& bytes) const { std::ofstream(file(), std::ios::binary | std::ios::trunc) << bytes; }
  // Header length, header, data.
  void write(const std::string& header, size_t data_bytes) const {
    const uint64_t length = header.size();
    std::string bytes(reinterpret_cast<const char*>(&length), sizeof length);
    write(bytes + header + std::string(data_bytes, '\1'));
  }
  std::string refusal() const {
    const std::string message = test::bad_request_of([&] { load_safetensors(file()); });
    EXPECT_THAT(message, HasSubstr(file().string()));
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message;
  }
  std::string refusal(const std::string& header, size_t data_bytes) const {
    write(header, data_bytes);
    return refusal();
  }
};

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

TEST_F(Safetensors, EveryDtypeComesBackBitByBit) {
  const auto numbers = torch::arange(-3, 9, torch::kDouble).reshape({3, 4}) * 1.37;
  NamedTensors tensors;
  for (const auto type :
       {torch::kFloat64, torch::kFloat32, torch::kFloat16, torch::kBFloat16, torch::kInt64, torch::kInt32,
        torch::kInt16, torch::kInt8, torch::kUInt8, torch::kUInt16, torch::kUInt32, torch::kUInt64, torch::kBool,
        torch::kComplexFloat, torch::kFloat8_e4m3fn, torch::kFloat8_e5m2}) {
    const bool is_unsigned = torch::isIntegralType(type, false) && !torch::isSignedType(type);
    tensors.emplace_back(c10::toString(type), (is_unsigned ? numbers.abs() : numbers).to(type));
  }
  save_safetensors(file(), {tensors, {{"format", "pt"}, {"note", "ünïcode \"quoted\""}}});
  const TensorFile read = load_safetensors(file());
  EXPECT_EQ(read.metadata.at("note"), "ünïcode \"quoted\"");
  ASSERT_EQ(read.tensors.size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, tensor] = read.tensors[i];
    EXPECT_EQ(name, tensors[i].first);
    ASSERT_EQ(tensor.scalar_type(), tensors[i].second.scalar_type()) << name;
    ASSERT_EQ(tensor.sizes(), tensors[i].second.sizes()) << name;
    EXPECT_EQ(std::memcmp(tensor.const_data_ptr(), tensors[i].second.const_data_ptr(), tensor.nbytes()), 0) << name;
  }
}

TEST_F(Safetensors, ScalarsEmptyOnesAndViewsComeBack) {
  const auto whole = torch::arange(24, torch::kFloat).reshape({2, 3, 2, 2});
  const auto nan = torch::full({2}, std::numeric_limits<float>::quiet_NaN());
  save_safetensors(file(), {{{"scalar", torch::tensor(2.5)},
                             {"empty", torch::zeros({0, 3})},
                             {"transposed", whole.transpose(0, 1)},
                             {"channels last", whole.contiguous(torch::MemoryFormat::ChannelsLast)},
                             {"nan", nan},
                             {"", torch::ones({1})}},
                            {}});
  std::map<std::string, torch::Tensor> read;
  for (const auto& [name, tensor] : load_safetensors(file()).tensors) read[name] = tensor;
  EXPECT_EQ(read.at("scalar").dim(), 0);
  EXPECT_EQ(read.at("scalar").item<float>(), 2.5);
  EXPECT_EQ(read.at("empty").sizes(), (std::vector<int64_t>{0, 3}));
  EXPECT_TRUE(read.at("transposed").equal(whole.transpose(0, 1)));
  EXPECT_TRUE(read.at("channels last").equal(whole));
  EXPECT_TRUE(read.at("nan").isnan().all().item<bool>());
  EXPECT_TRUE(read.count(""));
}

TEST_F(Safetensors, AFileWithoutTensorsComesBack) {
  save_safetensors(file(), {});
  EXPECT_TRUE(load_safetensors(file()).tensors.empty());
}

TEST_F(Safetensors, WhatCannotBeWrittenIsRefusedAndLeavesTheFileBefore) {
  save_safetensors(file(), {{{"a", torch::ones({2})}}, {}});
  const auto quantised = torch::quantize_per_tensor(torch::ones({2}), 0.1, 0, torch::kQInt8);
  EXPECT_THAT(test::bad_request_of([&] {
                save_safetensors(file(), {{{"q", quantised}}, {}});
              }),
              HasSubstr("tensor 'q' of type QInt8 has no place"));
  const auto one = torch::ones({1});
  EXPECT_THAT(test::bad_request_of([&] {
                save_safetensors(file(), {{{"b", one}, {"b", one}}, {}});
              }),
              HasSubstr("given twice"));
  EXPECT_EQ(load_safetensors(file()).tensors.front().first, "a");
}

TEST_F(Safetensors, AMissingFileIsMissingData) {
  try {
    load_safetensors("/nowhere/w.safetensors");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::missing_data);
    EXPECT_STREQ(error.what(), "weights file /nowhere/w.safetensors does not exist");
  }
}

TEST_F(Safetensors, Truncated) {
  write("1234567");
  EXPECT_THAT(refusal(), HasSubstr("expected at least 8 bytes, got 7"));
  write("");
  EXPECT_THAT(refusal(), HasSubstr("got 0"));
  const std::string header = "{" + entry("a", "F32", "[2]", "[0,8]") + "}";
  EXPECT_THAT(refusal(header, 7), HasSubstr("data_offsets [0,8] are not within the 7 bytes of data"));
  write(std::string("\x40\0\0\0\0\0\0\0{}", 10));
  EXPECT_THAT(refusal(), HasSubstr("its header claims 64 bytes, the file has 10 in all"));
}

TEST_F(Safetensors, AHeaderBeyond100MB) {
  const uint64_t length = 100'000'001;
  write(std::string(reinterpret_cast<const char*>(&length), sizeof length) + "{}");
  EXPECT_THAT(refusal(), HasSubstr("its header claims 100000001 bytes, at most 100 MB are allowed"));
  write(std::string(8, '\xff') + "{}");
  EXPECT_THAT(refusal(), HasSubstr("at most 100 MB"));
}

TEST_F(Safetensors, OverlappingAndOutOfRangeOffsets) {
  const auto two = [&](const std::string& second, size_t bytes) {
    return refusal("{" + entry("a", "F32", "[2]", "[0,8]") + "," + entry("b", "F32", "[1]", second) + "}", bytes);
  };
  EXPECT_THAT(two("[4,8]", 8), HasSubstr("'b' begins at byte 4 of the data, expected 8 (it overlaps another)"));
  EXPECT_THAT(two("[0,4]", 8), HasSubstr("it overlaps another"));
  EXPECT_THAT(two("[8,12]", 8), HasSubstr("[8,12] are not within the 8 bytes"));
  EXPECT_THAT(two("[12,8]", 16), HasSubstr("are not within"));
  EXPECT_THAT(two("[-4,0]", 8), HasSubstr("data_offsets must be whole numbers ≥ 0, got -4"));
  EXPECT_THAT(two("[18446744073709551612,0]", 8), HasSubstr("are beyond 2^63"));
  EXPECT_THAT(two("[8.0,12]", 12), HasSubstr("whole numbers"));
  EXPECT_THAT(two("[8]", 12), HasSubstr("two numbers"));
}

TEST_F(Safetensors, Holes) {
  const auto gap = "{" + entry("a", "F32", "[1]", "[0,4]") + "," + entry("b", "F32", "[1]", "[8,12]") + "}";
  EXPECT_THAT(refusal(gap, 12), HasSubstr("'b' begins at byte 8 of the data, expected 4 (a hole)"));
  const auto start = "{" + entry("a", "F32", "[1]", "[4,8]") + "}";
  EXPECT_THAT(refusal(start, 8), HasSubstr("a hole"));
  const auto end = "{" + entry("a", "F32", "[1]", "[0,4]") + "}";
  EXPECT_THAT(refusal(end, 5), HasSubstr("its tensors end at byte 4 of the data, which has 5"));
}

TEST_F(Safetensors, ShapesThatDoNotFit) {
  const auto shaped = [&](const std::string& shape) {
    return refusal("{" + entry("a", "F32", shape, "[0,8]") + "}", 8);
  };
  EXPECT_THAT(shaped("[3]"), HasSubstr("shape [3] of \"F32\" needs 12 bytes, data_offsets give 8"));
  EXPECT_THAT(shaped("[4611686018427387904,4]"), HasSubstr("overflows"));
  EXPECT_THAT(shaped("[-2]"), HasSubstr("got -2"));
  EXPECT_THAT(shaped("2"), HasSubstr("shape must be a list"));
  EXPECT_THAT(shaped("[[2]]"), HasSubstr("nests deeper"));
  EXPECT_THAT(shaped("[{}]"), HasSubstr("whole numbers"));
  EXPECT_THAT(shaped("[\"2\"]"), HasSubstr("whole numbers"));
  EXPECT_THAT(refusal("{" + entry("a", "F32", "[0,4611686018427387904,4611686018427387904]", "[0,0]") + "}", 0),
              HasSubstr("overflows"));
}

TEST_F(Safetensors, UnknownDtypes) {
  for (const std::string dtype : {"F31", "f32", "", "F4"}) {
    EXPECT_THAT(refusal("{" + entry("a", dtype, "[1]", "[0,4]") + "}", 4),
                HasSubstr("dtype '" + dtype + "' is none of"));
  }
  EXPECT_THAT(refusal(R"({"a":{"dtype":7,"shape":[],"data_offsets":[0,4]}})", 4), HasSubstr("dtype must be a text"));
}

TEST_F(Safetensors, HeadersThatAreNoHeaders) {
  EXPECT_THAT(refusal("{", 0), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal("", 0), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal("[]", 0), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal("{\"a\xff\":1}", 0), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal(R"({"a":1})", 0), HasSubstr("expected exactly dtype, shape and data_offsets"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}})", 4),
              HasSubstr("expected exactly"));
  EXPECT_THAT(refusal(R"({"__metadata__":{"a":1}})", 0), HasSubstr("may hold texts only, 'a' is a number"));
  EXPECT_THAT(refusal(R"({"__metadata__":[]})", 0), HasSubstr("must be a map of texts"));
  write(R"({"__metadata__":null})", 0);  // some writers put it there
  EXPECT_TRUE(load_safetensors(file()).tensors.empty());
  const auto once = entry("a", "U8", "[1]", "[0,1]"), again = entry("a", "U8", "[1]", "[1,2]");
  EXPECT_THAT(refusal("{" + once + "," + again + "}", 2), HasSubstr("names 'a' twice"));
  const std::string deep(100'000, '[');
  EXPECT_THAT(refusal("{\"a\":" + deep, 0), HasSubstr("nests deeper"));
}

TEST_F(Safetensors, ALongNameIsCutAtACharacter) {
  std::string name = "x";
  while (name.size() < 200) name += "ü";
  const std::string message = refusal("{" + entry(name, "F31", "[1]", "[0,4]") + "}", 4);
  EXPECT_THAT(message, HasSubstr("ü…'"));
  EXPECT_LT(message.size(), 300U);
  EXPECT_THAT(refusal("{" + entry("a\\nb", "F31", "[1]", "[0,4]") + "}", 4), HasSubstr("'a?b'"));
}

TEST_F(Safetensors, BooleansOfForeignFilesAreZeroOrOne) {
  const std::string header = "{" + entry("a", "BOOL", "[2]", "[0,2]") + "}";
  const uint64_t length = header.size();
  write(std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + std::string("\x00\x37", 2));
  const auto read = load_safetensors(file()).tensors.front().second;
  EXPECT_EQ(static_cast<const uint8_t*>(read.const_data_ptr())[1], 1);
  EXPECT_FALSE(read[0].item<bool>());
}

// Every outcome but an ivory::Error or a well-formed file fails the test, or the sanitizers.
TEST_F(Safetensors, RandomDamage) {
  save_safetensors(file(), {{{"weight", torch::ones({3, 2})}, {"steps", torch::arange(4)}}, {{"format", "pt"}}});
  std::ifstream in(file(), std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(in), {}};
  CounterRandom random(1, 0, 0, 0);
  int refused = 0;
  for (int trial = 0; trial < 1000; ++trial) {
    std::string damaged = whole;
    const auto size = static_cast<int64_t>(whole.size());
    if (random.below(4) == 0) damaged.resize(static_cast<size_t>(random.below(size)));
    for (int64_t flips = random.below(3) + 1; flips > 0 && !damaged.empty(); --flips) {
      damaged[static_cast<size_t>(random.below(static_cast<int64_t>(damaged.size())))] =
          static_cast<char>(random.below(256));
    }
    write(damaged);
    try {
      for (const auto& [name, tensor] : load_safetensors(file()).tensors) tensor.sum();
    } catch (const Error& error) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 500);
}

}  // namespace
}  // namespace ivory::train
