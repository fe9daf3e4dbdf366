#include <gmock/gmock.h>

#include "support/errors.h"
#include "weights/pickle.h"

namespace ivory::train {
namespace {

using namespace std::string_literals;
using Kind = PickleNode::Kind;
using test::bad_request_of;
using testing::HasSubstr;

const PickleNode& root(const Pickle& pickle) {
  return *pickle.root;
}

TEST(Pickle, Scalars) {
  // (None, True, False, 5, 300, -2, 0x0102030405, -1.5, "é")
  const auto read = parse_pickle(
      "\x80\x02(N\x88\x89K\x05M\x2c\x01J\xfe\xff\xff\xff\x8a\x05\x05\x04\x03\x02\x01G\xbf\xf8\0\0\0\0\0\0X\x02\0\0\0\xc3\xa9t."s,
      "");
  const auto& items = root(read).items;
  ASSERT_EQ(items.size(), 9u);
  EXPECT_EQ(items[0]->kind, Kind::none);
  EXPECT_EQ(items[1]->integer, 1);
  EXPECT_EQ(items[2]->integer, 0);
  EXPECT_EQ(items[3]->integer, 5);
  EXPECT_EQ(items[4]->integer, 300);
  EXPECT_EQ(items[5]->integer, -2);
  EXPECT_EQ(items[6]->integer, 0x0102030405);
  EXPECT_EQ(items[7]->real, -1.5);
  EXPECT_EQ(items[8]->text, "é");
}

TEST(Pickle, LongIntegers) {
  const auto of = [](const std::string& bytes) { return parse_pickle("\x80\x02\x8a" + bytes + ".", "").root->integer; };
  EXPECT_EQ(of("\x00"s), 0);
  EXPECT_EQ(of("\x01\xff"s), -1);
  EXPECT_EQ(of("\x02\xff\x00"s), 255);
  EXPECT_EQ(of("\x08\0\0\0\0\0\0\0\x80"s), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(of("\x0a\0\0\0\0\0\0\0\0\0\x40"s), std::numeric_limits<int64_t>::max()) << "saturates";
}

TEST(Pickle, ContainersAndMemo) {
  // {"a": [1, 2], "b": the same list}
  const auto read = parse_pickle("\x80\x02}q\0(X\x01\0\0\0a]q\x01(K\x01K\x02\x65X\x01\0\0\0bh\x01u."s, "");
  ASSERT_EQ(root(read).kind, Kind::dict);
  ASSERT_EQ(root(read).entries.size(), 2u);
  EXPECT_EQ(root(read).entries[0].second->items.size(), 2u);
  EXPECT_EQ(root(read).entries[0].second, root(read).entries[1].second);
}

TEST(Pickle, CallsAreNodes) {
  // argparse.Namespace() with state {"lr": 1}
  const auto read = parse_pickle(
      "\x80\x02\x63"
      "argparse\nNamespace\n)\x81}X\x02\0\0\0lrK\x01sb."s,
      "");
  EXPECT_EQ(root(read).kind, Kind::call);
  EXPECT_EQ(root(read).text, "argparse.Namespace");
  ASSERT_NE(root(read).state, nullptr);
  EXPECT_EQ(root(read).state->entries[0].second->integer, 1);
  EXPECT_EQ(read.globals, std::vector<std::string>{"argparse.Namespace"});
}

TEST(Pickle, AListMayHoldItself) {
  const auto read = parse_pickle("\x80\x02]q\0h\0a."s, "");
  EXPECT_EQ(root(read).items[0], read.root);
}

TEST(Pickle, OneTupleGivenToManyCallsDoesNotFillTheMemory) {
  std::string bytes = "\x80\x02("s + std::string(100'000, 'N') + "tq\0"s + "cbuiltins\nset\nq\x01"s;
  for (int i = 0; i < 200; ++i) bytes += "h\x01h\0R0"s;
  EXPECT_THAT(bad_request_of([&] { parse_pickle(bytes + "N.", "w.pth: "); }),
              HasSubstr("its calls have more than 16,000,000 arguments"));
}

TEST(Pickle, RefusesWhatRunsCode) {
  for (const char* name : {"posix\nsystem", "os\nsystem", "subprocess\nPopen", "builtins\neval", "__builtin__\nexec",
                           "importlib.util\nfind_spec", "os.path\nexpanduser"}) {
    EXPECT_THAT(bad_request_of([&] {
                  parse_pickle(
                      "\x80\x02"
                      "c"s +
                          name + "\n.",
                      "w.pth: ");
                }),
                testing::AllOf(HasSubstr("w.pth: its pickle calls "), HasSubstr("nothing was run")))
        << name;
  }
  EXPECT_NO_THROW(
      parse_pickle("\x80\x02"
                   "cbuiltins\nset\n."s,
                   ""))
      << "a harmless builtin";
}

TEST(Pickle, EveryTruncationIsAnError) {
  const std::string whole =
      "\x80\x02}q\0(X\x01\0\0\0a]q\x01(K\x01K\x02\x65X\x01\0\0\0bh\x01X\x01\0\0\0c\x63"
      "a\nb\nK\x01\x85Ru."s;
  EXPECT_NO_THROW(parse_pickle(whole, ""));
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_THAT(bad_request_of([&] { parse_pickle(whole.substr(0, length), ""); }), HasSubstr("damaged")) << length;
  }
}

TEST(Pickle, Mistakes) {
  const auto error = [](const std::string& bytes) { return bad_request_of([&] { parse_pickle(bytes, "f: "); }); };
  EXPECT_EQ(error("\x80\x02R."s), "f: its pickle is damaged: a value is missing on the stack at byte 2");
  EXPECT_EQ(error("\x80\x02t."s), "f: its pickle is damaged: a mark is missing at byte 2");
  EXPECT_EQ(error("\x80\x02(."s), "f: its pickle is damaged: a value is missing on the stack at byte 3");
  EXPECT_EQ(error("\x80\x02K\x01(K\x02."s).size(), 0u) << "Python takes what lies above an open mark, too";
  EXPECT_EQ(error("\x80\x02h\x07."s), "f: its pickle is damaged: a value that was never stored is read at byte 2");
  EXPECT_EQ(error("\x80\x02K\x01K\x01K\x02s."s),
            "f: its pickle is damaged: entries for what is no dictionary at byte 8");
  EXPECT_EQ(error("\x80\x02K\x01K\x01\x61."s), "f: its pickle is damaged: items for what is no list at byte 6");
  EXPECT_EQ(error("\x80\x02K\x01)R."s), "f: its pickle is damaged: a call of what is no function at byte 5");
  EXPECT_EQ(error("\x80\x02}(K\x01u."s), "f: its pickle is damaged: a key without a value at byte 6");
  EXPECT_EQ(error("\x80\x02X\xff\xff\xff\xff"
                  "a."s),
            "f: its pickle is damaged: it ends too early at byte 2");
  EXPECT_EQ(error("\x80\x02\xf0."s), "f: its pickle is damaged: unknown instruction 240 at byte 2");
  EXPECT_EQ(error("\x80\x09."s), "f: its pickle is damaged: protocol 9, expected 2 to 5, at byte 0");
}

TEST(Pickle, TooManyValues) {
  std::string many = "\x80\x02";
  many.append(4'000'001, 'N');
  EXPECT_THAT(bad_request_of([&] { parse_pickle(many + ".", ""); }), HasSubstr("more than 4,000,000 values"));
}

}  // namespace
}  // namespace ivory::train
