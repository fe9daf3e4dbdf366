// Small texts, hashes and JSON texts.
#include "base/text.h"

#include <gmock/gmock.h>
#include <ivory/error.h>

#include "base/hash.h"
#include "base/json_text.h"

namespace {

using namespace ivory::base;
using nlohmann::json;

TEST(Text, Joined) {
  const std::vector<std::string> words = {"a", "", "c"};
  EXPECT_EQ(joined(words), "a, , c");
  EXPECT_EQ(joined(words, "\n"), "a\n\nc");
  EXPECT_EQ(joined(std::vector<std::string>{}), "");
  EXPECT_EQ(joined(std::vector{1, 2}, "/", [](int i) { return std::to_string(10 * i); }), "10/20");
}

TEST(Text, Trimmed) {
  EXPECT_EQ(trimmed(" \t key with blanks\r\n"), "key with blanks");
  EXPECT_EQ(trimmed(" \n"), "");
}

TEST(Text, Durations) {
  EXPECT_EQ(duration_text(-1), "0 s");
  EXPECT_EQ(duration_text(59.4), "59 s");
  EXPECT_EQ(duration_text(59.6), "1 min");
  EXPECT_EQ(duration_text(168), "2 min 48 s");
  EXPECT_EQ(duration_text(7500), "2 h 5 min");
  EXPECT_EQ(duration_text(7229), "2 h");
}

TEST(Text, SizesAndNumbers) {
  EXPECT_EQ(size_text(400 * 1024), "0.4 MiB");
  EXPECT_EQ(size_text(139 * 1048576.0), "139 MiB");
  EXPECT_EQ(size_text(1.5 * 1073741824), "1.5 GiB");
  EXPECT_EQ(number(0.693147), "0.6931");
  EXPECT_EQ(number(1.5e-5), "1.5e-05");
}

// Values of xxhsum -H128 and -H64.
TEST(Hash, IsXxh3) {
  EXPECT_EQ(hash128(""), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(to_hexadecimal(hash64({})), "2d06800538d394c2");
  Hasher pieces;
  const std::string text(5000, 'x');
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  pieces.add({bytes, 123});
  pieces.add({bytes + 123, text.size() - 123});
  EXPECT_EQ(pieces.hexadecimal(), hash128(text));
}

TEST(Json, ThereAndBack) {
  const std::string text = R"({"a":[1,2.5,null],"b":{"c":"ü"}})";
  EXPECT_EQ(dump(parse_json(text)), text);
  EXPECT_EQ(dump(json{{"a", 1}}, 1), "{\n \"a\": 1\n}");
  EXPECT_EQ(dump("\xff"), "\"\xEF\xBF\xBD\"") << "bytes that are no UTF-8 are replaced";
}

TEST(Json, WhatIsNoneIsOneSentence) {
  for (const std::string text : {"", "{", "[1,]", "1 2", "[1e999]", "\"\xff\""}) {
    EXPECT_THROW(parse_json(text), ivory::Error) << text;
    EXPECT_FALSE(json_or_nothing(text)) << text;
  }
  EXPECT_FALSE(read_json_file("/absent/file.json"));
}

TEST(Json, NestsNoDeeperThanItCanBeCopied) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_NO_THROW(parse_json(nested(max_json_depth)));
  EXPECT_THROW(parse_json(nested(max_json_depth + 1)), ivory::Error);
  EXPECT_THROW(parse_json(nested(4), 3), ivory::Error);
  EXPECT_FALSE(json_or_nothing(nested(100000)));
}

TEST(Json, IsLookedAtWhileItIsParsed) {
  std::vector<std::string> keys;
  const json rest = visit_json(R"({"a": {"x": 1}, "b": [2, 3]})", [&](int depth, JsonEvent event, json& value) {
    if (event == JsonEvent::key) keys.push_back(value.get<std::string>());
    return event != JsonEvent::object_end || depth != 1;
  });
  EXPECT_THAT(keys, testing::ElementsAre("a", "x", "b"));
  EXPECT_EQ(rest, json::parse(R"({"b": [2, 3]})"));
}

}  // namespace
