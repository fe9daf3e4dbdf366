// The inputs that config_fuzz begins with and that are meant to be read: a mistake in one would keep the fuzzer from
// all that lies behind it.
#include "config/fixture.h"
#include "support/paths.h"
#include "support/read.h"

namespace ivory::config::test {
namespace {

class FuzzCorpus : public testing::TestWithParam<const char*> {};

TEST_P(FuzzCorpus, IsReadAsItIsMeant) {
  const std::string name = GetParam();
  const std::string input = ivory::test::read(ivory::test::source_dir() + "/tests/fuzz/corpus/config/" + name);
  std::vector<std::string> parts;
  for (size_t begin = 0, end = 0; end != std::string::npos; begin = end + 1) {
    end = input.find('\0', begin);
    parts.push_back(input.substr(begin, end - begin));
  }
  EXPECT_THAT(mistakes(parts[0], {parts.begin() + 1, parts.end()}), testing::IsEmpty());
  if (name != "smoke.toml") return;
  auto catalogue = make_catalogue();
  EXPECT_EQ(parse_experiments(input, "x.toml", {}, catalogue, /*smoke=*/true).size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Inputs, FuzzCorpus,
                         testing::Values("complete.toml", "wide.toml", "halving_of_a_task.toml",
                                         "halving_of_a_probe.toml", "zipped.toml", "smoke.toml", "models.toml",
                                         "compared.toml", "parameters.toml", "parts.toml", "settings", "stars",
                                         "sweep.toml", "trials.toml", "table.toml"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           return name.substr(0, name.find('.'));
                         });

}  // namespace
}  // namespace ivory::config::test
