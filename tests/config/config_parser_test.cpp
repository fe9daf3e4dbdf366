// Foreign bytes: whatever a file holds, loading it ends with experiments or with a ConfigError.
#include <random>

#include "config/fixture.h"

namespace ivory::config::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// True when it loaded, false when it was refused properly; anything else fails the test.
bool loads(const std::string& text, TestCatalogue& catalogue) {
  try {
    return !parse_experiments(text, "x.toml", {}, catalogue).empty();
  } catch (const ConfigError& error) {
    EXPECT_FALSE(error.messages().empty());
    for (const auto& message : error.messages()) EXPECT_EQ(message.rfind("x.toml:", 0), 0u) << message;
  }
  return false;
}

TEST(ConfigParser, SyntaxErrorsHaveTheirPlace) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[experiment]\nname = ", "x.toml:2:8: not valid TOML: "},
      {"a = 1\na = 2",
       "x.toml:2:5: not valid TOML: while parsing key-value pair: cannot redefine existing integer 'a'"},
      {"a = [[", "x.toml:1:7: not valid TOML: while parsing array"},
      {"[experiment]\nseed = 99999999999999999999999", "x.toml:2:31: not valid TOML: "},
      {"a = 1e999", "x.toml:1:10: not valid TOML: "},
      {"a = \"\xff\xfe\"", "x.toml:1:5: not valid TOML: Encountered invalid utf-8 sequence"},
      {std::string("a = \"\0\"", 7), "x.toml:1:6: not valid TOML: "},
      {"a = '''text", "not valid TOML: "},
      {"[[stage]]\nname = \"a\"\n[stage]\n", "x.toml:3:1: not valid TOML: "},
      {"[[stage]]\nname = \"a\"\n[stage]\n", "cannot redefine"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "not valid TOML: it is a pointer of Git LFS"},
      {"<!DOCTYPE html><html></html>", "not valid TOML: it is a web page"},
      {"{\"experiment\": 1}", "not valid TOML: it is a JSON document"},
  };
  for (const auto& [text, message] : cases) EXPECT_THAT(mistakes(text), ElementsAre(HasSubstr(message))) << text;
}

TEST(ConfigParser, NothingIsAnExperimentWithoutContent) {
  auto catalogue = make_catalogue();
  EXPECT_TRUE(loads("", catalogue));
  EXPECT_TRUE(loads("\xEF\xBB\xBF# only a comment", catalogue)) << "a byte order mark is allowed";
}

TEST(ConfigParser, DeepNestingIsRefused) {
  const auto repeated = [](const std::string& piece, int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += piece;
    return text;
  };
  EXPECT_THAT(mistakes("a = " + repeated("[", 100000)), ElementsAre(HasSubstr("not valid TOML")));
  EXPECT_THAT(mistakes("a = " + repeated("{a = ", 100000)), ElementsAre(HasSubstr("not valid TOML")));
  EXPECT_THAT(mistakes("a = " + repeated("[", 100) + repeated("]", 100)),
              ElementsAre(HasSubstr("nested deeper than 64")));
  for (const std::string segment : {".a", " . a", ".\"a\"", ".'.'"}) {
    EXPECT_THAT(mistakes("x = 1\na" + repeated(segment, 100000) + " = 1"),
                ElementsAre("x.toml:2:1: a dotted key has more than 16 segments"));
  }
  EXPECT_THAT(mistakes("[a" + repeated(".a", 100000) + "]"), ElementsAre(HasSubstr("a dotted key has more than 16")));
}

TEST(ConfigParser, DotsInTextsNumbersAndCommentsAreNoKeys) {
  auto catalogue = make_catalogue();
  const std::string dots(100, '.');
  EXPECT_TRUE(loads("# " + dots + "\nexperiment.note = \"\\\"" + dots + "\" # '" + dots, catalogue));
  EXPECT_TRUE(loads("experiment.note = '''" + dots + "\n'" + dots + "'''", catalogue));
  EXPECT_TRUE(loads("experiment.note = \"\"\"" + dots + "\n\" \\\"" + dots + "\"\"\"", catalogue));
}

TEST(ConfigParser, HugeNumbersAreOutOfRangeNotUndefined) {
  EXPECT_THAT(mistakes("[experiment]\ntrials = -9223372036854775808"), ElementsAre(HasSubstr("must be at least 1")));
  EXPECT_THAT(mistakes("[data.a]\nlayout = \"phantom\"\nphantom.size = [9223372036854775807, 8, 8]"),
              ElementsAre(HasSubstr("each between 8 and 4096")));
  EXPECT_THAT(mistakes("[data.a]\nlayout = \"phantom\"\nwindow = [-1e308, inf]"), ElementsAre(HasSubstr("finite")));
  EXPECT_THAT(mistakes(replaced(complete(), "ch2:0-59", "ch2:0-99999999999999999999")),
              ElementsAre(HasSubstr("a range of slices is written")));
}

TEST(ConfigParser, RandomBytes) {
  auto catalogue = make_catalogue();
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string text(random() % 64, '\0');
    for (auto& byte : text) byte = static_cast<char>(random());
    loads(text, catalogue);
  }
}

// A few bytes of a valid file flipped, cut out, doubled, or replaced by pieces of the grammar.
TEST(ConfigParser, RandomMutationsOfAValidFile) {
  auto catalogue = make_catalogue();
  const std::vector<std::string> pieces = {"[",   "]",  "[[",   "]]",  "{",          "}",  "=",     ".",
                                           ",",   "\"", "'''",  "\n",  "#",          "-1", "1e400", "true",
                                           "nan", "${", "${A}", "$${", "1979-05-27", "\\", "\\u"};
  std::mt19937 random(2);
  int loaded = 0, refused = 0;
  for (int round = 0; round < 1500; ++round) {
    std::string text = complete() + "[sweep]\nparameters = {\"stage.slices.epochs\" = [1, 2]}\nseeds = [1]\n";
    for (unsigned change = 1 + random() % 3; change > 0; --change) {
      const size_t at = random() % text.size(), length = random() % 12;
      switch (random() % 4) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, length);
          break;
        case 2:
          text.insert(at, text.substr(random() % text.size(), length));
          break;
        default:
          text.replace(at, length, pieces[random() % pieces.size()]);
      }
    }
    (loads(text, catalogue) ? loaded : refused) += 1;
  }
  EXPECT_GT(loaded, 20);
  EXPECT_GT(refused, 500);
}

TEST(ConfigParser, RandomOverrides) {
  auto catalogue = make_catalogue();
  const std::vector<std::string> pieces = {"stage", "slices", "objectives", "swav", "data", "head", ".",
                                           ".",     ".",      "=",          "=",    "0",    "{",    "\"",
                                           "[",     "1",      "name",       "\n",   "x"};
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (unsigned left = random() % 10; left > 0; --left) text += pieces[random() % pieces.size()];
    try {
      parse_experiments(complete(), "x.toml", {text}, catalogue);
    } catch (const ConfigError& error) {
      EXPECT_FALSE(error.messages().empty());
    }
  }
}

}  // namespace
}  // namespace ivory::config::test
