#include <ivory/error.h>

#include "data/loader.h"

namespace ivory::data {

DataSet::DataSet(std::vector<std::shared_ptr<const SliceCache>> opened) : caches(std::move(opened)) {
  for (size_t cache = 0; cache < caches.size(); ++cache) {
    const auto& infos = caches[cache]->volumes();
    for (size_t volume = 0; volume < infos.size(); ++volume) {
      const auto id = static_cast<int32_t>(volumes.size());
      volumes.push_back({static_cast<int64_t>(cache), static_cast<int64_t>(volume)});
      if (infos[volume].slices > 1) stacks.push_back(id);
      for (int32_t slice = 0; slice < infos[volume].slices; ++slice) slices.push_back({id, slice});
    }
  }
}

const VolumeInfo& DataSet::info(int64_t volume) const {
  IVORY_CHECK(volume >= 0 && volume < static_cast<int64_t>(volumes.size()), "volume ", volume, ", expected 0 to ",
              volumes.size() - 1);
  const Volume& place = volumes[static_cast<size_t>(volume)];
  return caches[static_cast<size_t>(place.cache)]->volumes()[static_cast<size_t>(place.volume)];
}

int64_t DataSet::samples(SampleKind kind) const {
  return static_cast<int64_t>(kind == SampleKind::slice ? slices.size() : stacks.size());
}

}  // namespace ivory::data
