// `only` and `patients` of a data set.
#include "ingest/part.h"

#include "ingest/layout_fixture.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Patients p0, p1, …, of `each` volumes, those below `labelled` with labels.
Sources made(int patients, int each, int labelled) {
  Sources sources;
  for (int patient = 0; patient < patients; ++patient) {
    for (int volume = 0; volume < each; ++volume) {
      const std::string name = "p" + std::to_string(patient);
      sources.push_back({.name = name + "/" + std::to_string(volume),
                         .image = "x.nii",
                         .label = patient < labelled ? "y.nii" : "",
                         .modality = "ct",
                         .patient = name});
    }
  }
  return sources;
}

std::vector<std::string> names_of(const Sources& sources) {
  std::vector<std::string> names;
  for (const auto& source : sources) names.push_back(source.name);
  return names;
}

std::map<std::string, int> volumes_of_patients(const Sources& sources) {
  std::map<std::string, int> counts;
  for (const auto& source : sources) ++counts[source.patient];
  return counts;
}

class Part : public ::testing::Test {
 protected:
  Sources take(const Sources& sources) {
    warnings_.clear();
    return part_of(spec_, sources, warnings_);
  }
  Sources take(const Sources& sources, const std::vector<std::string>& parts) {
    spec_.only.parts = parts;
    return take(sources);
  }

  config::DataSpec spec_ = {.name = "set", .layout = "folder"};
  std::vector<std::string> warnings_;
};

TEST_F(Part, WithoutItEverythingIsThere) {
  EXPECT_EQ(take(made(3, 2, 0)).size(), 6U);
}

TEST_F(Part, SharesDealWholePatientsOfThoseWithLabels) {
  spec_.only.splits = {.train_share = 0.5, .validation_share = 0.25, .seed = 3};
  const Sources all = made(11, 4, 8);
  std::map<std::string, int> seen;
  for (const auto& [part, size] : {std::pair{"train", 4U}, {"validation", 2U}, {"test", 2U}}) {
    const auto counts = volumes_of_patients(take(all, {part}));
    EXPECT_EQ(counts.size(), size) << part;
    for (const auto& [patient, count] : counts) {
      EXPECT_EQ(count, 4) << patient;
      EXPECT_EQ(++seen[patient], 1) << patient << " is in two parts";
    }
  }
  EXPECT_EQ(seen.size(), 8U);
  EXPECT_EQ(take(all, {"train", "validation"}).size(), 6U * 4);
  EXPECT_EQ(volumes_of_patients(take(made(8, 1, 0), {"train"})).size(), 4U) << "nobody has labels: all are dealt";
}

TEST_F(Part, SoManyVolumesBySeedOfWholePatients) {
  spec_.only = {.volumes = 10, .seed = 1};
  const Sources all = made(9, 3, 0);
  const auto first = names_of(take(all));
  EXPECT_EQ(first.size(), 10U);
  EXPECT_EQ(first, names_of(take(all)));
  EXPECT_TRUE(std::ranges::is_sorted(first));
  const auto counts = volumes_of_patients(take(all));
  EXPECT_EQ(std::ranges::count_if(counts, [](const auto& one) { return one.second == 3; }), 3);
  spec_.only.seed = 2;
  EXPECT_NE(first, names_of(take(all)));
  spec_.only.volumes = 28;
  EXPECT_EQ(take(all).size(), 27U);
  EXPECT_THAT(warnings_, ElementsAre("data set 'set': 'only' asks for 28 volumes, 27 were found"));
}

TEST_F(Part, ListsTakeNamesAndBeginnings) {
  spec_.only.splits = {.train = {"p0/*", "p1/1", "p7/*"}, .validation = {"p2/*"}, .test = {"p3/*"}};
  EXPECT_THAT(names_of(take(made(5, 2, 0), {"train", "validation"})),
              ElementsAre("p0/0", "p0/1", "p1/1", "p2/0", "p2/1"));
  EXPECT_THAT(warnings_, ElementsAre("data set 'set': no volume is 'p7/*', which 'train' of its 'only' lists"));
  spec_.only.splits.test = {"p8/*"};
  EXPECT_THAT(failure_of([&] { take(made(5, 2, 0), {"test"}); }).message,
              HasSubstr("none of its 10 volumes is in the part that 'only' takes"));
}

TEST_F(Part, OfGeneratedVolumesListsTakeAll) {
  spec_.layout = "phantom";
  spec_.only.splits = {.train = {"subset0/*"}, .validation = {"subset1/*"}, .test = {"subset2/*"}};
  EXPECT_EQ(take(made(3, 1, 0), {"train"}).size(), 3U);
  EXPECT_THAT(warnings_, IsEmpty());
}

using Patients = LayoutTest;

TEST_F(Patients, ATableSaysWhoseAVolumeIs) {
  for (const char* name : {"a.nii", "b.nii", "2019/c.nii", "2020/c.nii"}) write_nifti(in_set(name), counted({3, 4, 5}));
  text("whose.csv", "scanner,volume,patient\nX,2019/c,ann\nX,2020/c,ann\nY,a,bob\nY,gone,eve\n");
  spec_.patients = in_set("whose.csv").string();
  EXPECT_THAT(names("folder"), ElementsAre("2019/c of ann", "2020/c of ann", "a of bob", "b of b"));
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("whose.csv names no patient for 1 of 4 volumes, such as 'b'")));
}

TEST_F(Patients, ATableThatContradictsItselfOrIsMissingIsNamed) {
  write_nifti(in_set("a.nii"), counted({3, 4, 5}));
  spec_.patients = in_set("whose.csv").string();
  EXPECT_EQ(failure_of([&] { list("folder"); }).code, ExitCode::missing_data);
  text("whose.csv", "volume,patient\na,ann\na,bob\n");
  EXPECT_THAT(failure_of([&] { list("folder"); }).message,
              HasSubstr("volume 'a' belongs to patient 'ann' and to patient 'bob'"));
}

TEST_F(Patients, AChangedTableIsReadAgain) {
  for (const char* name : {"a.nii", "b.nii"}) write_nifti(in_set(name), counted({3, 4, 5}));
  text("whose.csv", "volume,patient\na,ann\nb,ann\n");
  spec_.patients = in_set("whose.csv").string();
  spec_.layout = "folder";
  const auto cache = folder_.path() / "cache";
  const std::atomic<bool> never = false;
  build_cache(spec_, cache, false, nullptr, never);
  text("whose.csv", "volume,patient\na,ann\nb,bob the second\n");
  const Report report = build_cache(spec_, cache, false, nullptr, never);
  EXPECT_EQ(report.reused, 0);
  EXPECT_EQ(data::SliceCache(cache).volumes()[1].patient, "bob the second");
}

// Whom a share takes depends on the patients of all: who no longer belongs to it must not stay, a test patient perhaps.
TEST_F(Patients, WhoLeavesThePartLeavesTheCache) {
  std::string before = "volume,patient\n", after = before;
  for (const char name : std::string("abcdef")) {
    write_nifti(in_set(std::string(1, name) + ".nii"), counted({3, 4, 5}));
    before += std::string(1, name) + ",p" + name + "\n";
    after += std::string(1, name) + ",p" + static_cast<char>('a' + 'f' - name) + "\n";
  }
  text("whose.csv", before);
  spec_.patients = in_set("whose.csv").string();
  spec_.layout = "folder";
  spec_.only = {.parts = {"train"}, .splits = {.train_share = 0.5, .validation_share = 0.2, .seed = 1}};
  const auto cache = folder_.path() / "cache";
  const std::atomic<bool> never = false;
  build_cache(spec_, cache, false, nullptr, never);
  const auto first = names_of(list("folder"));
  text("whose.csv", after);
  build_cache(spec_, cache, false, nullptr, never);
  const auto second = names_of(list("folder"));
  ASSERT_NE(first, second);
  std::vector<std::string> cached;
  const data::SliceCache opened(cache);
  for (const auto& volume : opened.volumes()) cached.push_back(volume.name);
  EXPECT_EQ(cached, second);
}

TEST_F(Patients, ATableThatChangesWhileABuildIsStoppedIsNoticed) {
  for (const char* name : {"a.nii", "b.nii"}) write_nifti(in_set(name), counted({3, 4, 5}));
  text("whose.csv", "volume,patient\na,ann\nb,ann\n");
  spec_.patients = in_set("whose.csv").string();
  spec_.layout = "folder";
  const auto cache = folder_.path() / "cache";
  std::atomic<bool> stop = false;
  const Report stopped = build_cache(
      spec_, cache, false, [&](const Progress&) { stop = true; }, stop);
  ASSERT_EQ(stopped.written, 1);
  text("whose.csv", "volume,patient\na,bob the second\nb,ann\n");
  const std::atomic<bool> never = false;
  build_cache(spec_, cache, false, nullptr, never);
  EXPECT_EQ(data::SliceCache(cache).volumes()[0].patient, "bob the second");
}

}  // namespace
}  // namespace ivory::ingest
