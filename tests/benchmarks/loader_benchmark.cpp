// Batches of random slices from a slice cache, cropped, resized and flipped: what the slice loader does for a stage.
// Peer: slice_loader.py (areas of 0.3 … 1, square, no anti-aliasing, batches of 64). The cache is built first, from the
// folder of volumes that the peer reads. With --multi-crop SwAV's eight views of every slice; peer: augment.py, whose
// images are decoded already.
#include <ivory/error.h>

#include <atomic>
#include <boost/program_options.hpp>
#include <iostream>

#include "benchmarks/lockstep.h"
#include "data/loader.h"
#include "ingest/ingest.h"

namespace {

namespace po = boost::program_options;

struct Setting {
  std::string volumes, cache = "loader-cache";
  int64_t batch = 64, batches = 2, size = 224, workers = 0;
  bool antialias = false, multi_crop = false;
  ivory::benchmark::Schedule schedule;
};

std::optional<Setting> parse(int argc, char** argv) {
  Setting s;
  po::options_description options("loader_benchmark: times batches of random slices from a slice cache");
  auto add = options.add_options();
  add("volumes", po::value(&s.volumes), "folder of volumes: the cache is built from them where it is missing");
  add("cache", po::value(&s.cache)->default_value(s.cache), "the cache's folder");
  add("batch", po::value(&s.batch)->default_value(s.batch), "slices per batch");
  add("batches", po::value(&s.batches)->default_value(s.batches), "batches per timed call");
  add("size", po::value(&s.size)->default_value(s.size), "pixels of the crops");
  add("workers", po::value(&s.workers)->default_value(s.workers), "loader threads; 0: in the calling thread");
  add("antialias", po::bool_switch(&s.antialias), "with the filter that stages use");
  add("multi-crop", po::bool_switch(&s.multi_crop), "2 crops of 224 and 6 of 96 pixels, with all that a stage does");
  add("lockstep", po::bool_switch(&s.schedule.lockstep), "answer \"go\" lines on stdin");
  add("warmup", po::value(&s.schedule.warmup)->default_value(30), "untimed calls");
  add("repeats", po::value(&s.schedule.repeats)->default_value(20), "timed calls");
  add("help", "this text");
  po::variables_map values;
  po::store(po::parse_command_line(argc, argv, options), values);
  po::notify(values);
  if (!values.count("help")) return s;
  std::cout << options << "\n";
  return {};
}

void build(const Setting& setting) {
  ivory::config::DataSpec spec;
  spec.name = "ct";
  spec.path = setting.volumes;
  spec.modality = "ct";
  const std::atomic<bool> stop = false;
  ivory::ingest::build_cache(spec, setting.cache, /*strict=*/true, nullptr, stop);
}

double megabytes(const std::string& folder) {
  double bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) bytes += static_cast<double>(file.file_size());
  return bytes / 1e6;
}

constexpr int64_t batches_ahead = 4;  // as a DataLoader of two workers

int64_t batch_mib(const Setting& setting) {
  const int64_t pixels = setting.multi_crop ? 2 * 224 * 224 + 6 * 96 * 96 : setting.size * setting.size;
  return (setting.batch * pixels * 4 >> 20) + 1;
}

// Batch after batch, epoch after epoch.
class Batches {
 public:
  Batches(const Setting& setting, std::shared_ptr<const ivory::data::DataSet> data) {
    ivory::SliceViewSpec views;
    ivory::data::CropSampling sampling;
    if (setting.multi_crop) {
      views.crops = {{2, 224, 0.14, 1.0}, {6, 96, 0.05, 0.14}};
      views.intensity = 1, views.blur = 0.5;
    } else {
      views.crops = {{1, setting.size, 0.3, 1.0}};
      views.intensity = views.blur = 0;
      sampling = {.aspect = 1, .antialias = setting.antialias};
    }
    const ivory::data::LoaderOptions options{
        .batch_size = setting.batch, .workers = setting.workers, .prefetch_mib = batches_ahead * batch_mib(setting)};
    source_ = ivory::data::make_slice_loader(std::move(data), views, options, sampling);
    source_->start(0, 0);
  }

  ivory::Batch next() {
    while (true) {
      if (auto batch = source_->next()) return std::move(*batch);
      source_->start(++epoch_, 0);
    }
  }

 private:
  std::unique_ptr<ivory::data::BatchSource<ivory::Batch>> source_;
  int64_t epoch_ = 0;
};

int run(const Setting& setting) {
  at::set_num_threads(1);
  if (!setting.volumes.empty()) build(setting);
  const auto cache = std::make_shared<const ivory::data::SliceCache>(setting.cache);
  Batches batches(setting, std::make_shared<const ivory::data::DataSet>(
                               std::vector<std::shared_ptr<const ivory::data::SliceCache>>{cache}));
  const nlohmann::json about = {{"bench", "slice_loader"},
                                {"peer", "ivory"},
                                {"workers", setting.workers},
                                {"vols", cache->volumes().size()},
                                {"antialias", setting.antialias},
                                {"multi_crop", setting.multi_crop},
                                {"file_mb", megabytes(setting.cache)}};
  const auto take = [&](int64_t count) {
    for (int64_t i = 0; i < count; ++i) batches.next();
  };
  // A timed call begins when what the workers made ahead is used up.
  const int64_t made_ahead = setting.workers > 0 ? batches_ahead : 0;
  return ivory::benchmark::time_calls(
      setting.schedule, about, static_cast<double>(setting.batch * setting.batches), [&] { take(setting.batches); },
      [&] { take(made_ahead); });
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const auto setting = parse(argc, argv);
    return setting ? run(*setting) : 0;
  } catch (const std::exception& error) {
    std::cerr << "loader_benchmark: " << error.what() << "\n";
    return 2;
  }
}
