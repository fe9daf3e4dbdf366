#include "data/fingerprint.h"

#include <ivory/error.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

#include "data/chunk_reader.h"
#include "data/volume_scan.h"

namespace ivory::data {
namespace {

constexpr int64_t histogram_bins = 64;

// Volumes that threads take one by one.
class Pass {
 public:
  Pass(const std::filesystem::path& folder, const Manifest& manifest, const FingerprintOptions& options,
       Fingerprint& result)
      : folder_(folder), manifest_(manifest), options_(options), result_(result) {
    const auto total = static_cast<int64_t>(manifest.volumes.size());
    const int64_t drawn = std::min(options.views, total);
    for (int64_t i = 0; i < drawn; ++i)
      result.views.push_back(
          {.volume = static_cast<int32_t>(i * total / drawn), .axial = {}, .coronal = {}, .sagittal = {}});
    result.volumes.resize(manifest.volumes.size());
  }

  CountsByModality run() {
    std::vector<VolumeScanner> scanners(static_cast<size_t>(std::max<int64_t>(1, options_.workers)));
    std::vector<std::thread> threads;
    for (VolumeScanner& scanner : scanners) threads.emplace_back([&] { work(scanner); });
    for (std::thread& thread : threads) thread.join();
    if (failure_) std::rethrow_exception(failure_);
    CountsByModality all;
    for (const VolumeScanner& scanner : scanners) {
      for (const auto& [modality, counts] : scanner.counts()) {
        all[modality].all.add(counts.all);
        all[modality].labelled.add(counts.labelled);
      }
    }
    return all;
  }

 private:
  void work(VolumeScanner& scanner) {
    for (size_t volume = next_++; volume < result_.volumes.size(); volume = next_++) {
      try {
        const StoredVolume& stored = manifest_.volumes[volume];
        result_.volumes[volume] = scanner.scan(StoredReader(folder_ / stored.shard, stored), view_of(volume));
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!failure_ || volume < failed_) failed_ = volume, failure_ = std::current_exception();
        next_ = result_.volumes.size();
      }
      const std::lock_guard lock(mutex_);
      if (options_.progress) options_.progress(++done_, static_cast<int64_t>(result_.volumes.size()));
    }
  }

  VolumeView* view_of(size_t volume) {
    const auto found = std::ranges::find(result_.views, static_cast<int32_t>(volume), &VolumeView::volume);
    return found == result_.views.end() ? nullptr : &*found;
  }

  const std::filesystem::path& folder_;
  const Manifest& manifest_;
  const FingerprintOptions& options_;
  Fingerprint& result_;
  std::atomic<size_t> next_ = 0;
  std::mutex mutex_;
  int64_t done_ = 0;
  size_t failed_ = 0;
  std::exception_ptr failure_;
};

template <class Value>
Spread spread_over(const std::vector<const VolumeInfo*>& infos, const Value& value) {
  std::vector<double> values;
  for (const VolumeInfo* info : infos) values.push_back(static_cast<double>(value(*info)));
  return spread_of(std::move(values));
}

ModalityFinding summarise(const std::string& modality, const Fingerprint& result, const ModalityCounts& counts) {
  ModalityFinding found{.modality = modality};
  std::vector<const VolumeInfo*> infos;
  for (const VolumeFinding& volume : result.volumes) {
    if (volume.info.modality == modality) infos.push_back(&volume.info);
  }
  std::set<std::string> dtypes;
  for (const VolumeInfo* info : infos) {
    found.slices += info->slices;
    dtypes.insert(info->dtype);
  }
  found.volumes = static_cast<int64_t>(infos.size());
  found.dtypes.assign(dtypes.begin(), dtypes.end());
  found.shape = {spread_over(infos, [](const auto& info) { return info.slices; }),
                 spread_over(infos, [](const auto& info) { return info.rows; }),
                 spread_over(infos, [](const auto& info) { return info.columns; })};
  for (size_t axis = 0; axis < 3; ++axis)
    found.spacing[axis] = spread_over(infos, [&](const auto& info) { return info.spacing[axis]; });
  found.all = counts.all.intensities();
  found.labelled = counts.labelled.intensities();
  found.all_histogram = counts.all.histogram(histogram_bins);
  found.labelled_histogram = counts.labelled.histogram(histogram_bins);
  return found;
}

std::vector<LabelFinding> find_labels(const std::vector<VolumeFinding>& volumes) {
  std::map<int32_t, LabelFinding> found;
  for (const VolumeFinding& volume : volumes) {
    for (const LabelCount& label : volume.labels) {
      LabelFinding& sum = found[label.id];
      sum.id = label.id;
      sum.voxels += label.voxels;
      sum.mm3.push_back(label.mm3);
    }
  }
  std::vector<LabelFinding> labels;
  for (auto& [id, sum] : found) labels.push_back(std::move(sum));
  return labels;
}

// In the order of their first volumes.
std::vector<Duplicate> find_duplicates(const std::vector<VolumeFinding>& volumes) {
  std::map<std::string, std::vector<int32_t>> by_hash;
  for (size_t i = 0; i < volumes.size(); ++i) by_hash[volumes[i].pixels_hash].push_back(static_cast<int32_t>(i));
  std::vector<Duplicate> duplicates;
  for (auto& [hash, same] : by_hash) {
    if (same.size() < 2) continue;
    const auto& first = volumes[static_cast<size_t>(same.front())].info.content_hash;
    const bool same_labels = std::ranges::all_of(
        same, [&](int32_t i) { return volumes[static_cast<size_t>(i)].info.content_hash == first; });
    duplicates.push_back({hash, std::move(same), same_labels});
  }
  std::ranges::sort(duplicates, {}, [](const Duplicate& one) { return one.volumes.front(); });
  return duplicates;
}

std::vector<std::string> pixel_hashes(const Fingerprint& fingerprint) {
  std::vector<std::string> hashes;
  for (const VolumeFinding& volume : fingerprint.volumes) hashes.push_back(volume.pixels_hash);
  return hashes;
}

void add_folder_splits(Fingerprint& result) {
  const auto infos = result.infos();
  auto splits = folder_splits(infos);
  if (splits.empty()) return;
  result.splits.push_back({.origin = "folders",
                           .splits = {},
                           .patients = shared_folder_patients(infos, splits),
                           .content = shared_content(infos, pixel_hashes(result), splits)});
  result.splits.back().splits = std::move(splits);
}

}  // namespace

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const size_t n = values.size();
  return {values.front(), (values[(n - 1) / 2] + values[n / 2]) / 2, values.back()};
}

std::vector<VolumeInfo> Fingerprint::infos() const {
  std::vector<VolumeInfo> all;
  for (const VolumeFinding& volume : volumes) all.push_back(volume.info);
  return all;
}

Fingerprint make_fingerprint(const std::filesystem::path& folder, const FingerprintOptions& options) {
  const Manifest manifest = read_manifest(folder);
  Fingerprint result{.content_hash = manifest.content_hash};
  const CountsByModality counts = Pass(folder, manifest, options, result).run();
  for (const VolumeFinding& volume : result.volumes) result.slices += volume.info.slices;
  for (const auto& [modality, sums] : counts) result.modalities.push_back(summarise(modality, result, sums));
  result.labels = find_labels(result.volumes);
  result.duplicates = find_duplicates(result.volumes);
  add_folder_splits(result);
  return result;
}

void add_splits(Fingerprint& fingerprint, const std::string& origin, std::vector<NamedSplit> splits,
                bool allow_shared_patients) {
  for (NamedSplit& split : splits) {  // several ranges of a volume's slices
    std::ranges::sort(split.volumes);
    const auto repeated = std::ranges::unique(split.volumes);
    split.volumes.erase(repeated.begin(), repeated.end());
  }
  const auto infos = fingerprint.infos();
  SplitFinding found{.origin = origin, .allow_shared_patients = allow_shared_patients};
  found.patients = shared_patients(infos, splits);
  found.content = shared_content(infos, pixel_hashes(fingerprint), splits);
  found.splits = std::move(splits);
  fingerprint.splits.push_back(std::move(found));
}

}  // namespace ivory::data
