#include "data/heap.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace ivory::data {
namespace {

// Address space of the heap to come, in huge pages where the system gives them on request: kernels stream through
// gigabytes, and pages of 4 KiB cost them translations and faults. Nothing is touched, so that no memory is taken.
void reserve_heap_in_huge_pages() {
  const auto memory = static_cast<size_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t bytes = memory / 2;
  void* reserved = std::malloc(bytes);
  if (!reserved) return;
  constexpr uintptr_t page = uintptr_t{2} << 20;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(reserved) + page - 1) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(reserved) + bytes) / page * page;
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // a wish: failure changes nothing
  std::free(reserved);
}

}  // namespace

void keep_freed_memory() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_ARENA_MAX, 1);  // threads begun from now on: the heaps of arenas of their own would be returned when empty
  reserve_heap_in_huge_pages();
}

}  // namespace ivory::data
