#include "plugin/describe.h"

#include <gmock/gmock.h>

#include "plugin/registry.h"

namespace {

using ivory::plugin::Format;
using ivory::plugin::Registry;
using testing::AllOf;
using testing::HasSubstr;

Registry example() {
  Registry registry;
  registry.add(ivory::Descriptor<ivory::Objective>{
      .name = "swav",
      .summary = "Agreement of codes.",
      .source = "Caron et al. 2020",
      .options =
          {{.name = "prototypes", .fallback = int64_t{3000}, .help = "Their number H.", .minimum = 1},
           {.name = "axis",
            .fallback = std::string("a"),
            .help = "Which one.",
            .choices = {"a", "b"},
            .source = "Eq. 6"},
           {.name = "warmup", .fallback = 0.5, .help = "How long.", .minimum = 0, .maximum = 1, .unit = "epochs"}},
      .create = [](const ivory::Options&, const ivory::Objective::Context&) { return nullptr; }});
  registry.add(ivory::Descriptor<ivory::Backbone>{
      .name = "resnet",
      .summary = "A residual network.",
      .options = {},
      .create = [](const ivory::Options&, const ivory::Backbone::Context&) { return nullptr; }});
  return registry;
}

TEST(Describe, AlignsTheOptions) {
  EXPECT_EQ(describe_plugins(example(), "swav", Format::text),
            "swav: objective\n"
            "  Agreement of codes.\n"
            "  Source: Caron et al. 2020\n"
            "\n"
            "  Option      Type     Default  Allowed    Unit\n"
            "  prototypes  integer  3000     ≥ 1\n"
            "      Their number H.\n"
            "  axis        text     \"a\"      \"a\" | \"b\"\n"
            "      Which one. (Eq. 6)\n"
            "  warmup      real     0.5      0.0 … 1.0  epochs\n"
            "      How long.\n");
}

TEST(Describe, WritesMarkdownForTheReference) {
  const std::string text = describe_plugins(example(), "", Format::markdown);
  EXPECT_THAT(text, AllOf(HasSubstr("## swav (objective)\n\nAgreement of codes.\n\nSource: Caron et al. 2020\n"),
                          HasSubstr("| `prototypes` | integer | `3000` | ≥ 1 |  | Their number H. |  |\n"),
                          HasSubstr("| `axis` | text | `\"a\"` | \"a\" \\| \"b\" |  | Which one. | Eq. 6 |\n"),
                          HasSubstr("## resnet (backbone)\n\nA residual network.\n\nNo options.\n")));
}

TEST(Describe, OffersTheNearestPlugin) {
  try {
    describe_plugins(example(), "resent", Format::text);
    FAIL() << "an unknown plugin was described";
  } catch (const ivory::Error& error) {
    EXPECT_EQ(error.code(), ivory::ExitCode::bad_request);
    EXPECT_THAT(error.what(),
                HasSubstr("unknown plugin 'resent'; did you mean 'resnet'? Known: resnet, swav; folders"));
  }
}

TEST(List, HasALinePerPlugin) {
  EXPECT_EQ(list_plugins(example()),
            "Kind       Name    Summary              Library\n"
            "backbone   resnet  A residual network.\n"
            "objective  swav    Agreement of codes.\n");
}

}  // namespace
