// What `ivory plugins new` writes; that it compiles and passes its own test is shown by sdk_integration_test.cpp.
#include "plugin/scaffold.h"

#include <gmock/gmock.h>
#include <ivory/error.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

namespace {

namespace fs = std::filesystem;
using ivory::plugin::write_scaffold;
using testing::HasSubstr;
using testing::Not;

std::string content(const fs::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

class Scaffold : public testing::Test {
 protected:
  Scaffold() : folder_(fs::temp_directory_path() / ("ivory_scaffold_" + std::to_string(::getpid()))) {}
  ~Scaffold() override { fs::remove_all(folder_); }

  std::string refusal(const std::string& name, const std::string& kind) {
    try {
      write_scaffold(name, kind, folder_);
    } catch (const ivory::Error& error) {
      EXPECT_EQ(error.code(), ivory::ExitCode::bad_request);
      return error.what();
    }
    return "";
  }

  fs::path folder_;
};

TEST_F(Scaffold, WritesFourFilesWithTheNameFilledIn) {
  for (const std::string kind : {"objective", "backbone", "task"}) {
    const auto files = write_scaffold("my-" + kind, kind, folder_ / kind);
    ASSERT_EQ(files.size(), 4u);
    EXPECT_EQ(files[0], folder_ / kind / ("my_" + kind + ".cpp"));
    EXPECT_THAT(content(files[0]), HasSubstr(".name = \"my-" + kind + "\""));
    EXPECT_THAT(content(files[2]), HasSubstr("plugins = [\"build/libmy_" + kind + ".so\"]"));
    EXPECT_THAT(content(files[3]), HasSubstr("ivory_add_plugin(my_" + kind + " my_" + kind + ".cpp)"));
    for (const auto& file : files) EXPECT_THAT(content(file), Not(HasSubstr("@"))) << file;
  }
}

TEST_F(Scaffold, OverwritesNothing) {
  fs::create_directories(folder_);
  std::ofstream(folder_ / "CMakeLists.txt") << "mine";
  EXPECT_THAT(refusal("method", "objective"), HasSubstr("CMakeLists.txt' exists already and is not overwritten"));
  EXPECT_EQ(content(folder_ / "CMakeLists.txt"), "mine");
  EXPECT_FALSE(fs::exists(folder_ / "method.cpp"));
}

TEST_F(Scaffold, RefusesMalformedNamesAndKinds) {
  for (const std::string name : {"", "MyMethod", "my_method", "3d", "a--b", "a-", "../x"}) {
    EXPECT_THAT(refusal(name, "objective"), HasSubstr("cannot be used")) << name;
  }
  EXPECT_THAT(refusal("method", "objectiv"), HasSubstr("did you mean 'objective'?"));
  EXPECT_FALSE(fs::exists(folder_));
}

}  // namespace
