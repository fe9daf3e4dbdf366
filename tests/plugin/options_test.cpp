#include <gmock/gmock.h>
#include <ivory/options.h>

#include <limits>

namespace {

using ivory::Option;
using ivory::Options;
using ivory::OptionValue;
using ivory::to_text;
using testing::HasSubstr;

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const ivory::Error& error) {
    EXPECT_EQ(error.code(), ivory::ExitCode::bad_request);
    return error.what();
  }
  return "";
}

const std::vector<Option> declared = {
    {.name = "heads", .fallback = int64_t{8}, .help = "h", .minimum = 1, .maximum = 64},
    {.name = "temperature", .fallback = 0.1, .help = "τ", .minimum = 1e-4},
    {.name = "warmup", .fallback = 10.0, .help = "w", .minimum = 0, .unit = "epochs"},
    {.name = "axis", .fallback = std::string("slice"), .help = "a", .choices = {"slice", "embedding"}},
    {.name = "bias", .fallback = true, .help = "b"},
    {.name = "prototypes", .fallback = std::vector<int64_t>{4, 4, 4}, .help = "H", .minimum = 1},
    {.name = "rates", .fallback = std::vector<double>{0.5}, .help = "r", .minimum = 0, .maximum = 1},
    {.name = "layers", .fallback = std::vector<std::string>{"layer4"}, .help = "l"}};

TEST(OptionText, IsWrittenAsInToml) {
  EXPECT_EQ(to_text(OptionValue(true)), "true");
  EXPECT_EQ(to_text(OptionValue(int64_t{-3})), "-3");
  EXPECT_EQ(to_text(OptionValue(0.1)), "0.1");
  EXPECT_EQ(to_text(OptionValue(1.0)), "1.0");
  EXPECT_EQ(to_text(OptionValue(1e-6)), "1e-06");
  EXPECT_EQ(to_text(OptionValue(1.0 / 3)), "0.3333333333333333");
  EXPECT_EQ(to_text(OptionValue(std::string("a \"b\" \\ \n"))), R"("a \"b\" \\ \u000A")");
  EXPECT_EQ(to_text(OptionValue(std::vector<int64_t>{4, 4, 4})), "[4, 4, 4]");
  EXPECT_EQ(to_text(OptionValue(std::vector<double>{1, 0.5})), "[1.0, 0.5]");
  EXPECT_EQ(to_text(OptionValue(std::vector<std::string>{"a", "b"})), R"(["a", "b"])");
  EXPECT_EQ(to_text(OptionValue(std::vector<double>{})), "[]");
}

TEST(OptionText, NamesTypes) {
  EXPECT_EQ(ivory::type_name(OptionValue(true)), "boolean");
  EXPECT_EQ(ivory::type_name(OptionValue(int64_t{1})), "integer");
  EXPECT_EQ(ivory::type_name(OptionValue(1.0)), "real");
  EXPECT_EQ(ivory::type_name(OptionValue(std::string())), "text");
  EXPECT_EQ(ivory::type_name(OptionValue(std::vector<int64_t>())), "list of integers");
  EXPECT_EQ(ivory::type_name(OptionValue(std::vector<double>())), "list of reals");
  EXPECT_EQ(ivory::type_name(OptionValue(std::vector<std::string>())), "list of texts");
}

TEST(Options, HoldDefaultsUntilSet) {
  Options options(declared);
  EXPECT_EQ(options.get<int64_t>("heads"), 8);
  options.set("heads", int64_t{64});
  EXPECT_EQ(options.get<int64_t>("heads"), 64);
  EXPECT_EQ(options.get<std::string>("axis"), "slice");
  EXPECT_EQ(options.values().size(), declared.size());
}

TEST(Options, TakeIntegersForReals) {
  Options options(declared);
  options.set("temperature", int64_t{1});
  EXPECT_EQ(options.get<double>("temperature"), 1.0);
  options.set("rates", std::vector<int64_t>{0, 1});
  EXPECT_EQ(options.get<std::vector<double>>("rates"), (std::vector<double>{0, 1}));
  options.set("layers", std::vector<int64_t>{});  // how TOML's [] arrives
  EXPECT_TRUE(options.get<std::vector<std::string>>("layers").empty());
}

TEST(Options, RefuseOtherTypes) {
  Options options(declared);
  EXPECT_EQ(message_of([&] { options.set("heads", 8.0); }), "option 'heads': expected integer, got real 8.0");
  EXPECT_EQ(message_of([&] { options.set("bias", int64_t{1}); }), "option 'bias': expected boolean, got integer 1");
  EXPECT_EQ(message_of([&] { options.set("axis", true); }), "option 'axis': expected text, got boolean true");
  EXPECT_EQ(message_of([&] { options.set("prototypes", int64_t{4}); }),
            "option 'prototypes': expected list of integers, got integer 4");
  EXPECT_EQ(options.get<int64_t>("heads"), 8) << "a refused value must not be stored";
}

TEST(Options, RefuseValuesOutOfRange) {
  Options options(declared);
  options.set("heads", int64_t{1});
  EXPECT_EQ(message_of([&] { options.set("heads", int64_t{0}); }),
            "option 'heads': expected an integer from 1 to 64, got 0");
  EXPECT_EQ(message_of([&] { options.set("heads", int64_t{65}); }),
            "option 'heads': expected an integer from 1 to 64, got 65");
  EXPECT_EQ(message_of([&] { options.set("warmup", -1.0); }),
            "option 'warmup': expected a real number of at least 0.0 epochs, got -1.0");
  EXPECT_EQ(message_of([&] {
              options.set("prototypes", std::vector<int64_t>{4, 0});
            }),
            "option 'prototypes': element 2: expected an integer of at least 1, got 0");
  EXPECT_THAT(message_of([&] {
                options.set("rates", std::vector<double>{0.5, 1.5});
              }),
              HasSubstr("element 2: expected a real number from 0.0 to 1.0, got 1.5"));
}

TEST(Options, RefuseValuesThatAreNotNumbers) {
  Options options(declared);
  EXPECT_THAT(message_of([&] { options.set("temperature", std::numeric_limits<double>::quiet_NaN()); }),
              HasSubstr("expected a finite number"));
  for (const char* name : {"temperature", "warmup"}) {  // with and without limits
    const std::string message = message_of([&] { options.set(name, std::numeric_limits<double>::infinity()); });
    EXPECT_THAT(message, testing::AllOf(HasSubstr("expected a finite number"), HasSubstr("got inf")));
  }
  EXPECT_THAT(message_of([&] {
                options.set("rates", std::vector<double>{0.5, std::numeric_limits<double>::infinity()});
              }),
              HasSubstr("element 2: expected a finite number from 0.0 to 1.0, got inf"));
}

TEST(Options, OfferTheNearestChoice) {
  Options options(declared);
  EXPECT_EQ(message_of([&] { options.set("axis", std::string("slices")); }),
            R"(option 'axis': expected one of "slice", "embedding", got "slices"; did you mean "slice"?)");
  EXPECT_EQ(message_of([&] { options.set("axis", std::string("time")); }),
            R"(option 'axis': expected one of "slice", "embedding", got "time")");
}

TEST(Options, OfferTheNearestName) {
  Options options(declared);
  EXPECT_EQ(message_of([&] { options.set("tempertaure", 0.1); }),
            "unknown option 'tempertaure'; did you mean 'temperature'?");
  EXPECT_THAT(message_of([&] { options.set("xyz", 0.1); }), HasSubstr("known: heads, temperature, warmup, axis"));
  EXPECT_EQ(message_of([] { Options().set("a", true); }), "unknown option 'a'; known: none");
}

TEST(Options, RefuseToBeReadAsSomethingElse) {
  const Options options(declared);
  EXPECT_EQ(message_of([&] { options.get<int64_t>("head"); }), "option 'head' is read but was never declared");
  EXPECT_EQ(message_of([&] { options.get<double>("heads"); }),
            "option 'heads' is declared as integer but read as another type");
}

TEST(Nearest, FindsTypingErrorsOnly) {
  const std::vector<std::string> names = {"swav", "byol", "masked-embedding", "agreement-3d"};
  EXPECT_EQ(ivory::nearest("sawv", names), "swav");   // neighbours swapped
  EXPECT_EQ(ivory::nearest("swavv", names), "swav");  // one too many
  EXPECT_EQ(ivory::nearest("BYOL", names), "byol");   // another case
  EXPECT_EQ(ivory::nearest("masked_embeding", names), "masked-embedding");
  EXPECT_EQ(ivory::nearest("simclr", names), "");
  EXPECT_EQ(ivory::nearest("x", {"y", "z"}), "");  // nothing in common
  EXPECT_EQ(ivory::nearest("", names), "");
  EXPECT_EQ(ivory::nearest("swav", {}), "");
}

}  // namespace
