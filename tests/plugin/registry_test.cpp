#include "plugin/registry.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <ivory/fixtures.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>

#include "support/paths.h"

namespace {

namespace fs = std::filesystem;
using ivory::Descriptor;
using ivory::Objective;
using ivory::plugin::Kind;
using ivory::plugin::Registry;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const fs::path fixtures = fs::path(ivory::test::build_dir()) / "lib" / "test_plugins";

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const ivory::Error& error) {
    EXPECT_EQ(error.code(), ivory::ExitCode::bad_request);
    return error.what();
  }
  return "";
}

Descriptor<Objective> objective(const std::string& name) {
  return {.name = name,
          .summary = "A test's.",
          .options = {},
          .create = [](const ivory::Options&, const Objective::Context&) { return nullptr; }};
}

// Sets an environment variable until the end of the scope.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~Variable() { ::unsetenv(name_); }

 private:
  const char* name_;
};

class Folder {
 public:
  Folder() : path(fs::temp_directory_path() / ("ivory_registry_" + std::to_string(::getpid()))) {
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  const fs::path path;
};

TEST(Registry, LoadsALibraryAndCreatesFromIt) {
  Registry registry;
  registry.load("libfirst.so", fixtures);
  const auto& zero = registry.find<Objective>("zero");
  EXPECT_EQ(zero.summary, "Is zero.");
  EXPECT_EQ(registry.origin(Kind::objective, "zero"), (fixtures / "libfirst.so").string());
  const auto module = zero.create(ivory::Options(zero.options), {});
  const auto model = ivory::fixtures::tiny_model(4, 4, 2);
  EXPECT_EQ(module->forward(*model, {}).at(0).first, "zero");
}

TEST(Registry, LoadingTwiceIsHarmless) {
  Registry registry;
  registry.load(fixtures / "libfirst.so");
  registry.load("../test_plugins/libfirst.so", fixtures);  // the same file by another path
  EXPECT_EQ(registry.all(Kind::objective).size(), 1u);
  Registry other;
  other.load(fixtures / "libfirst.so");
  EXPECT_EQ(other.all(Kind::objective).size(), 1u);
}

TEST(Registry, NeverUnloadsAPlugin) {
  const Folder folder;
  const fs::path library = folder.path / "libfirst.so";  // a copy, which no other test has loaded
  fs::copy_file(fixtures / "libfirst.so", library);
  {
    Registry registry;
    registry.load(library);
  }
  EXPECT_NE(::dlopen(library.c_str(), RTLD_LAZY | RTLD_NOLOAD), nullptr) << "it has gone with its registry";
}

TEST(Registry, RefusesOneNameFromTwoLibraries) {
  Registry registry;
  registry.load(fixtures / "libfirst.so");
  EXPECT_THAT(
      message_of([&] { registry.load(fixtures / "libsecond.so"); }),
      AllOf(HasSubstr("the objective 'zero' is registered by"), HasSubstr("/libfirst.so"), HasSubstr("/libsecond.so")));
  EXPECT_EQ(registry.origin(Kind::objective, "zero"), (fixtures / "libfirst.so").string());
}

TEST(Registry, ReportsExceptionsOfAPluginAndForgetsIt) {
  Registry registry;
  EXPECT_THAT(message_of([&] { registry.load(fixtures / "libthrowing.so"); }),
              AllOf(HasSubstr("libthrowing.so' failed to register"), HasSubstr("the table of constants is missing")));
  EXPECT_TRUE(registry.all(Kind::objective).empty());
  registry.add(objective("half-done"));  // the name is free again
}

TEST(Registry, RefusesLibrariesThatAreNoPlugins) {
  Registry registry;
  EXPECT_THAT(message_of([&] { registry.load(fixtures / "libuntagged.so"); }),
              AllOf(HasSubstr("libuntagged.so"), HasSubstr("exports no ABI tag")));
  EXPECT_THAT(message_of([&] { registry.load(fixtures / "libunregistered.so"); }),
              HasSubstr("exports no 'ivory_register'"));
}

TEST(Registry, GivesTheLoadersReason) {
  Registry registry;
  EXPECT_THAT(message_of([&] { registry.load(fixtures / "libunresolved.so"); }),
              AllOf(HasSubstr("libunresolved.so"), HasSubstr("undefined symbol: function_that_no_library_has")));
}

TEST(Registry, NamesEveryPathTried) {
  const Variable variable("IVORY_PLUGIN_PATH", "/opt/methods");
  Registry registry;
  EXPECT_THAT(message_of([&] { registry.load("./libnone.so", "/experiments"); }),
              AllOf(HasSubstr("'./libnone.so' does not exist"), HasSubstr("/experiments/libnone.so"),
                    HasSubstr("/lib/ivory/plugins/libnone.so"), HasSubstr("/opt/methods/libnone.so")));
}

// The same source is built with the host's tag and with a foreign one: the first run shows that the trace works.
TEST(Registry, RunsNoCodeOfAForeignPlugin) {
  const Folder folder;
  const fs::path trace = folder.path / "trace";
  const Variable variable("IVORY_FIXTURE_TRACE", trace.string());
  Registry registry;
  EXPECT_THAT(message_of([&] { registry.load(fixtures / "libtraced_foreign.so"); }),
              AllOf(HasSubstr("libtraced_foreign.so' was built with"), HasSubstr("_torch_1_"),
                    HasSubstr("this Ivory has " + ivory::plugin::host_abi_tag())));
  EXPECT_FALSE(fs::exists(trace));
  registry.load(fixtures / "libtraced.so");
  EXPECT_TRUE(fs::exists(trace));
}

TEST(Registry, SearchesBesideTheCoreThenThePluginPath) {
  const Variable variable("IVORY_PLUGIN_PATH", "/a/plugins::relative");
  const auto folders = ivory::plugin::default_search_path();
  ASSERT_EQ(folders.size(), 3u);
  EXPECT_EQ(folders[0], fs::canonical(ivory::test::build_dir()) / "lib" / "ivory" / "plugins");
  EXPECT_EQ(folders[1], "/a/plugins");
  EXPECT_EQ(folders[2], fs::current_path() / "relative");
}

TEST(Registry, DiscoversThePluginPath) {
  const Folder folder;
  fs::copy(fixtures / "libfirst.so", folder.path / "libfirst.so");
  fs::copy(fixtures / "libuntagged.so", folder.path / "untagged.txt");  // not lib*.so: not a plugin
  const Variable variable("IVORY_PLUGIN_PATH", folder.path.string() + ":/no/such/folder");
  Registry registry;
  registry.discover();
  registry.discover();
  EXPECT_EQ(registry.origin(Kind::objective, "zero"), (fs::canonical(folder.path) / "libfirst.so").string());
  EXPECT_THAT(message_of([&] { registry.find<Objective>("nothing-like-it"); }),
              AllOf(HasSubstr("known: "), HasSubstr("zero"), HasSubstr(folder.path.string()),
                    HasSubstr("/no/such/folder (no such folder)")));
}

TEST(Registry, OffersTheNearestName) {
  Registry registry;
  registry.add(objective("swav"));
  registry.add(objective("masked-embedding"));
  EXPECT_THAT(message_of([&] { registry.find<Objective>("swaw"); }),
              HasSubstr("unknown objective 'swaw'; did you mean 'swav'? Known: masked-embedding, swav; folders"));
  EXPECT_THAT(message_of([&] { registry.find<ivory::Task>("swav"); }),
              HasSubstr("'swav' is the name of a plugin of kind objective, expected one of kind task: none"));
  EXPECT_THAT(message_of([&] { registry.find<ivory::Backbone>("resnet"); }),
              AllOf(HasSubstr("unknown backbone 'resnet'; known: none"), Not(HasSubstr("did you mean"))));
}

TEST(Registry, RefusesMalformedDescriptors) {
  Registry registry;
  const auto refusal = [&](const std::function<void(Descriptor<Objective>&)>& change) {
    auto descriptor = objective("well-formed");
    change(descriptor);
    return message_of([&] { registry.add(descriptor); });
  };
  EXPECT_THAT(refusal([](auto& d) { d.name = "Wrong_Name"; }), HasSubstr("lower case letters"));
  EXPECT_THAT(refusal([](auto& d) { d.name = "-x"; }), HasSubstr("lower case letters"));
  EXPECT_THAT(refusal([](auto& d) { d.create = nullptr; }), HasSubstr("no create function"));
  EXPECT_THAT(refusal([](auto& d) { d.summary = ""; }), HasSubstr("no summary"));
  EXPECT_THAT(refusal([](auto& d) { d.options = {{.name = "a", .fallback = true, .help = ""}}; }),
              HasSubstr("option 'a' has no help text"));
  EXPECT_THAT(refusal([](auto& d) { d.options.assign(2, {.name = "a", .fallback = true, .help = "h"}); }),
              HasSubstr("declares option 'a' twice"));
  EXPECT_THAT(refusal([](auto& d) { d.kinds.clear(); }), HasSubstr("no kind of sample"));
  EXPECT_THAT(refusal([](auto& d) { d.roles.assign(2, {.name = "r", .inputs = {}, .help = "h"}); }),
              HasSubstr("declares a role twice"));
  EXPECT_THAT(refusal([](auto& d) { d.options = {{.name = "a", .fallback = 2.0, .help = "h", .maximum = 1}}; }),
              HasSubstr("its default breaks its own rules: expected a real number of at most 1.0, got 2.0"));
  EXPECT_TRUE(registry.all(Kind::objective).empty());
}

}  // namespace
