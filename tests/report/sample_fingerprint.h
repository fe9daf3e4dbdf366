#pragma once
// A cache of three CT volumes, one of them twice, and one MR volume: a bright cuboid with a label, in air.

#include "data/cache_fixtures.h"
#include "data/fingerprint.h"

namespace ivory::test {

inline data::VolumeData sample_scan(const std::string& name, const std::string& modality, int64_t first) {
  data::VolumeData scan;
  scan.info.name = name;
  scan.info.patient = "patient of " + name;
  scan.info.modality = modality;
  scan.info.source_file = "/data/" + name;
  scan.info.spacing = {4, 1, 1.5};
  scan.info.window = {0, 400};
  scan.info.slices = 10, scan.info.rows = 48, scan.info.columns = 40;
  scan.pixels = torch::zeros({10, 48, 40}, torch::kInt16);
  scan.labels = torch::zeros({10, 48, 40}, torch::kInt16);
  const auto cuboid = [&](const torch::Tensor& whole) {
    return whole.narrow(0, 6, 4).narrow(1, 4, 30).narrow(2, first, 20);  // superior, from anterior on
  };
  cuboid(scan.pixels).copy_(torch::arange(4 * 30 * 20).view({4, 30, 20}).remainder(300) + 100);
  cuboid(scan.labels).fill_(2);
  cuboid(scan.labels).narrow(2, 10, 10).fill_(5);
  return scan;
}

inline data::Fingerprint sample_fingerprint() {
  const data::testing::TemporaryFolder folder;
  auto twin = sample_scan("ct-2", "ct", 6);
  data::testing::write_cache(folder.path() / "cache", {sample_scan("ct-0", "ct", 6), sample_scan("ct-1", "ct", 12),
                                                       twin, sample_scan("mr-0", "mr", 18)});
  auto made = data::make_fingerprint(folder.path() / "cache", {.workers = 2});
  data::add_splits(made, "task organs", {{"train", {0, 1}}, {"validation", {0}}, {"test", {2, 3}}}, false);
  return made;
}

}  // namespace ivory::test
