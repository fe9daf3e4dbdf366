// One process reads a cache while another one builds the next in the same tree of folders.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/cache_fixtures.h"
#include "ingest/ingest.h"

namespace ivory::ingest {
namespace {

using data::testing::TemporaryFolder;

const std::atomic<bool> never{false};

config::DataSpec phantoms(int64_t volumes, uint64_t seed) {
  config::DataSpec spec{.name = "scans", .layout = "phantom"};
  spec.phantom = {.volumes = volumes, .size = {8, 24, 24}, .labels = {1}, .seed = seed};
  return spec;
}

TEST(ReadWhileBuilding, EveryReadOfTheFinishedCacheIsWhole) {
  const TemporaryFolder root;
  const auto first = root.path() / "first", second = root.path() / "second";
  build_cache(phantoms(3, 1), first, true, nullptr, never);
  const std::string content = data::SliceCache(first).content_hash();
  int pipes[2];
  ASSERT_EQ(::pipe(pipes), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    // It waits before each volume until its sibling has read once more, so that reads fall between all its steps.
    build_cache(
        phantoms(6, 2), second, true,
        [&](const Progress&) {
          char go = 0;
          if (::read(pipes[0], &go, 1) != 1) ::_exit(3);
        },
        never);
    ::_exit(0);
  }
  int status = 0, reads = 0;
  bool finished_seen = false;
  for (; ::waitpid(child, &status, WNOHANG) == 0; ++reads) {
    const data::SliceCache cache(first);
    EXPECT_TRUE(cache.verify().empty());
    EXPECT_EQ(cache.content_hash(), content);
    try {
      finished_seen = data::SliceCache(second).volumes().size() == 6;  // all of it or nothing
      EXPECT_TRUE(finished_seen);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::missing_data) << error.what();
    }
    ASSERT_EQ(::write(pipes[1], "g", 1), 1);
  }
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_GE(reads, 7) << "one before each volume of the other build, and one before its end";
  EXPECT_EQ(data::SliceCache(second).volumes().size(), 6U);
  EXPECT_TRUE(data::SliceCache(second).verify().empty());
  ::close(pipes[0]), ::close(pipes[1]);
}

}  // namespace
}  // namespace ivory::ingest
