// What it costs that GDCM runs in a process of its own: the same series are read in this process and through it, in
// turns, and the difference is compared with the time of a cache's build. Makes its own files.
#include <sys/resource.h>

#include <atomic>
#include <boost/program_options.hpp>
#include <chrono>
#include <iostream>

#include "../../core/tools/ivory-dicom/dicom_file.h"
#include "ingest/dicom_files.h"
#include "ingest/dicom_process.h"
#include "ingest/ingest.h"

namespace {

namespace fs = std::filesystem;
namespace po = boost::program_options;
using ivory::ingest::DicomPixels;

struct Setting {
  std::string folder = "dicom-benchmark";
  int series = 100, slices = 20, side = 512, rounds = 3;
};

double seconds(const std::function<void()>& body) {
  const auto began = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

std::vector<fs::path> make_series(const Setting& s) {
  std::vector<fs::path> files;
  const auto noise = torch::randint(0, 400, {s.slices, s.side, s.side}, torch::kInt16);
  for (int i = 0; i < s.series; ++i) {
    for (int k = 0; k < s.slices; ++k) {
      files.push_back(fs::path(s.folder) / std::to_string(i) / (std::to_string(k) + ".dcm"));
      fs::create_directories(files.back().parent_path());
      ivory::ingest::testing::write_dicom(files.back(), noise[k],
                                          {.series = "1.2." + std::to_string(i),
                                           .instance = "1.2." + std::to_string(i) + "." + std::to_string(k),
                                           .z = 2.5 * k,
                                           .intercept = -1024});
    }
  }
  return files;
}

void read_here(const std::vector<fs::path>& files) {
  for (const auto& file : files) {
    const ivory::dicom::DicomFile first(file);
    first.header();
  }
  for (const auto& file : files) {
    DicomPixels about;
    const ivory::dicom::DicomFile again(file);
    again.pixels(about, /*labels=*/false);
  }
}

void read_through_process(const std::vector<fs::path>& files) {
  auto& process = ivory::ingest::dicom_process();
  for (const auto& file : files) process.header(file);
  std::vector<char> pixels;
  const auto room = [&](const DicomPixels& about) {
    pixels.resize(static_cast<size_t>(about.bytes));
    return pixels.data();
  };
  for (const auto& file : files) process.pixels(file, /*labels=*/false, room);
}

double build(const Setting& s) {
  fs::remove_all(s.folder + "-cache");
  ivory::config::DataSpec spec;
  spec.name = "ct";
  spec.path = s.folder;
  const std::atomic<bool> stop = false;
  const double took = seconds(
      [&] { ivory::ingest::build_cache(spec, s.folder + "-cache", /*strict=*/true, nullptr, stop, /*workers=*/1); });
  fs::remove_all(s.folder + "-cache");
  return took;
}

int run(const Setting& s) {
  at::set_num_threads(1);
  fs::remove_all(s.folder);
  const auto files = make_series(s);
  const double start = seconds([&] {  // the process starts with its first file
    ivory::ingest::dicom_process().header(files[0]);
  });
  std::cout << s.series << " series of " << s.slices << " slices of " << s.side << " x " << s.side << "\nstart "
            << 1e3 * start << " ms\n";
  double least_here = 1e9, least_there = 1e9, least_build = 1e9;
  for (int round = 0; round < s.rounds; ++round) {
    const double here = seconds([&] { read_here(files); }), there = seconds([&] { read_through_process(files); });
    const double built = build(s);
    std::cout << "in this process " << here << " s, through the other " << there << " s, cache built in " << built
              << " s\n";
    least_here = std::min(least_here, here), least_there = std::min(least_there, there);
    least_build = std::min(least_build, built);
  }
  const double cost = least_there - least_here;
  std::cout << "cost of the process: " << 1e3 * cost / s.series << " ms a series, " << 100 * cost / least_build
            << " % of the build\n";
  fs::remove_all(s.folder);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Setting s;
  po::options_description options("dicom_benchmark: what the process of its own costs that reads DICOM");
  auto add = options.add_options();
  add("folder", po::value(&s.folder)->default_value(s.folder), "made, and removed");
  add("series", po::value(&s.series)->default_value(s.series), "folders");
  add("slices", po::value(&s.slices)->default_value(s.slices), "files of each");
  add("side", po::value(&s.side)->default_value(s.side), "pixels");
  add("rounds", po::value(&s.rounds)->default_value(s.rounds), "the best counts");
  add("help", "this text");
  try {
    po::variables_map values;
    po::store(po::parse_command_line(argc, argv, options), values);
    if (values.count("help")) {
      std::cout << options << "\n";
      return 0;
    }
    po::notify(values);
    return run(s);
  } catch (const std::exception& error) {
    std::cerr << "dicom_benchmark: " << error.what() << "\n";
    return 1;
  }
}
