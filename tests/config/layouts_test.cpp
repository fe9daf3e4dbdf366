// The table of layouts, and what an experiment says of one.
#include "config/layouts.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <set>

#include "config/fixture.h"

namespace ivory::config::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

TEST(Layouts, EachIsNamedOnceAndDescribed) {
  std::set<std::string> names;
  for (const auto& layout : known_layouts()) {
    EXPECT_TRUE(names.insert(layout.name).second) << layout.name << " is there twice";
    EXPECT_FALSE(layout.summary.empty() || layout.folder.empty()) << layout.name;
    if (layout.version == 0) continue;  // no data set of the paper
    EXPECT_FALSE(layout.source.empty() || layout.terms.empty() || layout.split.empty()) << layout.name;
    std::set<int64_t> ids;
    for (const auto& label : layout.labels) {
      EXPECT_TRUE(label.id > 0 && label.id <= 32767 && ids.insert(label.id).second) << layout.name << " " << label.name;
    }
  }
}

TEST(Layouts, AMisspeltOneIsAnsweredWithTheNearest) {
  EXPECT_THAT(mistakes("[data.a]\nlayout = \"lits2018\"\npath = \"x\""),
              Contains(HasSubstr("(did you mean \"lits2017\"?)")));
}

TEST(Layouts, AVersionIsPartOfTheIdentity) {
  const DataSpec folder{.name = "a", .layout = "folder"}, lits{.name = "a", .layout = "lits2017"};
  EXPECT_FALSE(identity(folder).contains("layout_version"));
  EXPECT_EQ(identity(lits).at("layout_version"), find_layout("lits2017")->version);
}

}  // namespace
}  // namespace ivory::config::test
