#include "train/machine.h"

#include <ATen/autocast_mode.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace ivory::train {

double rss_mib() {
  std::ifstream statm("/proc/self/statm");
  double total_pages = 0, resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 20);
}

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
  reserve_heap_in_huge_pages();
}

void to_channels_last(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  for (torch::Tensor& p : module.parameters()) {
    if (p.dim() == 4) p.set_data(p.contiguous(torch::MemoryFormat::ChannelsLast));
  }
}

torch::Tensor to_device(const torch::Tensor& images, torch::Device device, bool channels_last) {
  if (!images.defined()) return images;
  torch::Tensor moved = images.to(device, /*non_blocking=*/true);
  return channels_last && moved.dim() == 4 ? moved.contiguous(torch::MemoryFormat::ChannelsLast) : moved;
}

Autocast::Autocast(torch::Device device, bool enabled) : device_(device.type()), enabled_(enabled) {
  if (!enabled_) return;
  before_ = at::autocast::is_autocast_enabled(device_);
  type_before_ = at::autocast::get_autocast_dtype(device_);
  at::autocast::set_autocast_enabled(device_, true);
  at::autocast::set_autocast_dtype(device_, at::kBFloat16);
  at::autocast::increment_nesting();
}

Autocast::~Autocast() {
  if (!enabled_) return;
  // The cache holds bf16 copies of weights that the optimiser is about to change.
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, before_);
  at::autocast::set_autocast_dtype(device_, type_before_);
}

}  // namespace ivory::train
