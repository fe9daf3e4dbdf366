// In the steady state a loader allocates for batches, never for samples: malloc and its relatives are counted.
#include <gtest/gtest.h>

#include <atomic>

#include "data/loader_fixtures.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define IVORY_FOREIGN_MALLOC
#endif
#endif

#ifndef IVORY_FOREIGN_MALLOC

namespace {
std::atomic<int64_t> allocations = 0;
}

// glibc's own; this program's definitions come before them for every library.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t size) {
  ++allocations;
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  ++allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* old, size_t size) {
  ++allocations;
  return __libc_realloc(old, size);
}
int posix_memalign(void** place, size_t alignment, size_t size) {
  ++allocations;
  *place = __libc_memalign(alignment, size);
  return *place ? 0 : 12;
}
}

namespace ivory::data {
namespace {

using namespace testing;

struct Case {
  const char* name;
  std::optional<VolumeViewSpec> volumes;  // none: slices
  torch::ScalarType type;
};

class LoaderAllocations : public ::testing::TestWithParam<Case> {};

// Of one batch, once every thread's scratch has its size.
int64_t allocations_of_a_batch(const Case& test, const std::shared_ptr<const DataSet>& data, int64_t batch_size) {
  const LoaderOptions options{.batch_size = batch_size, .workers = 0, .type = test.type};
  const SliceViewSpec slices{.crops = {{2, 24, 0.3, 1}, {2, 16, 0.05, 0.3}}};
  const auto loader =
      test.volumes ? make_volume_loader(data, *test.volumes, options) : make_slice_loader(data, slices, options);
  for (int64_t epoch = 0; epoch < 12; ++epoch) {
    loader->start(epoch, 0);
    while (loader->next()) continue;
  }
  loader->start(12, 0);
  loader->next();
  const int64_t before = allocations;
  const auto batch = loader->next();
  EXPECT_TRUE(batch);
  return allocations - before;
}

TEST_P(LoaderAllocations, DoNotDependOnTheNumberOfSamples) {
  const TemporaryFolder folder;
  std::vector<VolumeData> volumes;
  for (int i = 0; i < 24; ++i) volumes.push_back(make_volume("v" + std::to_string(i), {3, 48, 40}));
  write_cache(folder.path(), volumes);
  const auto data = open_data_set(folder.path());
  const int64_t few = allocations_of_a_batch(GetParam(), data, 2), many = allocations_of_a_batch(GetParam(), data, 12);
  EXPECT_GT(few, 0) << "the batch itself: allocations are counted";
  EXPECT_EQ(few, many);
}

const VolumeViewSpec whole{.size = {6, 16, 16}, .anisotropy = 0.5};
const VolumeViewSpec cubes{.extent = VolumeViewSpec::Extent::cube, .size = {2, 16, 12}, .most_air = 0.9, .rotation = 0};

INSTANTIATE_TEST_SUITE_P(Loaders, LoaderAllocations,
                         ::testing::Values(Case{"slices", {}, torch::kFloat32},
                                           Case{"slices_bf16", {}, torch::kBFloat16},
                                           Case{"volumes", whole, torch::kFloat32},
                                           Case{"volumes_bf16", whole, torch::kBFloat16},
                                           Case{"cubes", cubes, torch::kFloat32}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace ivory::data

#else

TEST(LoaderAllocations, AreCountedWithoutSanitizersAlone) {
  GTEST_SKIP() << "a sanitizer brings its own malloc";
}

#endif
