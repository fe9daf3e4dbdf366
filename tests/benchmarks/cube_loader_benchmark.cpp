// Random cubes with their masks from a slice cache, half of them about a voxel of the target: what the loader does for
// training a segmentation of volumes. Peers: cube_loader_peer.py, on the same volumes. The cache is made first, of the
// folder's npy/*.npy (int16) and label_npy/*.npy (uint8), [slices, rows, columns] each.
#include <ivory/error.h>

#include <boost/program_options.hpp>
#include <iostream>
#include <set>

#include "benchmarks/lockstep.h"
#include "data/loader.h"
#include "weights/npy.h"

namespace {

namespace fs = std::filesystem;
namespace po = boost::program_options;

struct Setting {
  std::string volumes, cache = "cube-loader-cache";
  int64_t batch = 8, batches = 8, count = 4, workers = 0;
  bool turn = false;
  double spacing = 0;
  ivory::benchmark::Schedule schedule;
};

std::optional<Setting> parse(int argc, char** argv) {
  Setting s;
  po::options_description options("cube_loader_benchmark: times batches of random cubes from a slice cache");
  auto add = options.add_options();
  add("volumes", po::value(&s.volumes), "folder of volumes: the cache is made of them where it is missing");
  add("cache", po::value(&s.cache)->default_value(s.cache), "the cache's folder");
  add("batch", po::value(&s.batch)->default_value(s.batch), "cubes per batch");
  add("batches", po::value(&s.batches)->default_value(s.batches), "batches per timed call");
  add("count", po::value(&s.count)->default_value(s.count), "cubes of a volume in an epoch");
  add("workers", po::value(&s.workers)->default_value(s.workers), "loader threads; 0: in the calling thread");
  add("turn", po::bool_switch(&s.turn), "with random flips, rotations and scales");
  add("spacing", po::value(&s.spacing)->default_value(s.spacing), "voxels of the volume in one of a cube; 0: copied");
  add("lockstep", po::bool_switch(&s.schedule.lockstep), "answer \"go\" lines on stdin");
  add("warmup", po::value(&s.schedule.warmup)->default_value(10), "untimed calls");
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
  if (fs::exists(fs::path(setting.cache) / "manifest.json")) return;
  ivory::data::SliceCacheWriter writer(setting.cache, "cube_loader_benchmark");
  for (const auto& entry : fs::directory_iterator(fs::path(setting.volumes) / "npy")) {
    ivory::data::VolumeData volume;
    volume.pixels = ivory::train::load_npy(entry.path());
    volume.labels = ivory::train::load_npy(fs::path(setting.volumes) / "label_npy" / entry.path().filename());
    auto& info = volume.info;
    info.name = entry.path().stem().string();
    info.patient = info.name;
    info.modality = "ct";
    info.slices = volume.pixels.size(0), info.rows = volume.pixels.size(1), info.columns = volume.pixels.size(2);
    info.window = {-1000, 1000};
    info.has_labels = true;
    writer.add(volume);
  }
  writer.finish();
}

double megabytes(const std::string& folder) {
  double bytes = 0;
  for (const auto& file : fs::directory_iterator(folder)) bytes += static_cast<double>(file.file_size());
  return bytes / 1e6;
}

// Batch after batch, epoch after epoch.
class Batches {
 public:
  Batches(const Setting& setting, std::shared_ptr<const ivory::data::DataSet> data) {
    using ivory::VolumeViewSpec;
    VolumeViewSpec cubes{.count = setting.count, .extent = VolumeViewSpec::Extent::cube, .size = {32, 64, 64}};
    cubes.spacing.fill(setting.spacing);
    cubes.anisotropy = cubes.noise = cubes.blur = cubes.bias_field = cubes.gamma = 0;
    ivory::data::LabelledSamples samples{
        .unit = ivory::SampleKind::volume, .classes = {{1}}, .balanced = true, .augment = setting.turn, .cubes = cubes};
    for (size_t i = 0; i < data->volumes.size(); ++i) samples.volumes.push_back(static_cast<int32_t>(i));
    source_ = ivory::data::make_task_loader(std::move(data), samples,
                                            {.batch_size = setting.batch, .workers = setting.workers});
    source_->start(0, 0);
  }

  ivory::TaskBatch next() {
    while (true) {
      if (auto batch = source_->next()) return std::move(*batch);
      source_->start(++epoch_, 0);
    }
  }

 private:
  std::unique_ptr<ivory::data::BatchSource<ivory::TaskBatch>> source_;
  int64_t epoch_ = 0;
};

int run(const Setting& setting) {
  at::set_num_threads(1);
  if (!setting.volumes.empty()) build(setting);
  const auto cache = std::make_shared<const ivory::data::SliceCache>(setting.cache);
  Batches batches(setting, std::make_shared<const ivory::data::DataSet>(
                               std::vector<std::shared_ptr<const ivory::data::SliceCache>>{cache}));
  const nlohmann::json about = {{"bench", "cube_loader"},     {"peer", "ivory"},
                                {"workers", setting.workers}, {"vols", cache->volumes().size()},
                                {"turn", setting.turn},       {"file_mb", megabytes(setting.cache)}};
  return ivory::benchmark::time_calls(setting.schedule, about, static_cast<double>(setting.batch * setting.batches),
                                      [&] {
                                        for (int64_t i = 0; i < setting.batches; ++i) batches.next();
                                      });
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const auto setting = parse(argc, argv);
    return setting ? run(*setting) : 0;
  } catch (const std::exception& error) {
    std::cerr << "cube_loader_benchmark: " << error.what() << "\n";
    return 2;
  }
}
