#include "cache_info.h"

#include <ivory/error.h>
#include <unistd.h>

#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/files.h"
#include "base/json_text.h"
#include "base/text.h"
#include "config/experiment.h"
#include "data/fingerprint.h"
#include "data/manifest.h"
#include "plan/cache_store.h"
#include "plugin/registry.h"
#include "report/fingerprint_page.h"
#include "report/html.h"
#include "train/progress.h"
#include "train/splits.h"

namespace ivory::tools {
namespace {

namespace fs = std::filesystem;
using data::Fingerprint;
using experiment::text_of;
using experiment::html::number;

constexpr size_t most_listed = 20;  // sentences of one kind

struct Request {
  std::string what;  // a cache's folder or an experiment
  std::vector<std::string> overrides;
  fs::path out;  // empty: the cache's folder
  bool list = false, allow_shared_patients = false;
};

// A cache, and the tasks that split its volumes.
struct Subject {
  std::string name;
  fs::path folder;
  std::vector<config::TaskSpec> tasks = {};
};

Request parse(std::vector<std::string> arguments) {
  Request request;
  request.list = std::erase(arguments, "--list") > 0;
  request.allow_shared_patients = std::erase(arguments, "--allow-shared-patients") > 0;
  std::erase(arguments, "--set");  // as run-experiment has it
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--out") {
      IVORY_CHECK(i + 1 < arguments.size(), "ivory cache info: --out needs a folder\n", cache_info_usage);
      request.out = arguments[++i];
    } else if (arguments[i].starts_with("--")) {
      throw bad_request("ivory cache info: unknown option '", arguments[i], "'\n", cache_info_usage);
    } else if (request.what.empty()) {
      request.what = arguments[i];
    } else {
      request.overrides.push_back(arguments[i]);
    }
  }
  IVORY_CHECK(!request.what.empty(), "ivory cache info: an argument is missing\n", cache_info_usage);
  return request;
}

std::vector<Subject> subjects_of(const Request& request) {
  if (!request.what.ends_with(".toml")) {
    IVORY_CHECK(request.overrides.empty(), "ivory cache info: '", request.overrides.front(),
                "' after the folder of a cache, expected an option\n", cache_info_usage);
    const fs::path folder = fs::path(request.what).lexically_normal();
    return {{(folder.has_filename() ? folder : folder.parent_path()).filename().string(), folder}};
  }
  plugin::Registry registry;
  registry.discover();
  std::vector<Subject> subjects;
  const auto points = config::load_experiments(request.what, request.overrides, registry);
  for (const auto& data : points.front().data) {
    Subject subject{data.name, experiment::cache_folder(data)};
    for (const auto& task : points.front().tasks) {
      if (task.data == data.name) subject.tasks.push_back(task);
    }
    subjects.push_back(std::move(subject));
  }
  return subjects;
}

void list_volumes(const data::Manifest& manifest) {
  for (const auto& stored : manifest.volumes) {
    const auto& volume = stored.info;
    std::cout << std::left << std::setw(24) << volume.name << " " << volume.modality << "  " << volume.slices << " × "
              << volume.rows << " × " << volume.columns << " " << volume.dtype << "  " << volume.spacing[0] << " × "
              << volume.spacing[1] << " × " << volume.spacing[2] << " mm  window " << volume.window[0] << " … "
              << volume.window[1] << (volume.has_labels ? "  labels" : "") << "\n";
    if (!volume.notes.empty()) std::cout << "    " << volume.notes << "\n";
  }
}

Fingerprint read(const Subject& subject) {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const auto progress = [&](int64_t done, int64_t total) {
    if (terminal && (done == total || done % std::max<int64_t>(1, total / 200) == 0))
      std::cerr << "\r\033[K" << subject.name << ": " << train::bar(done, total, 30) << " of " << total << " volumes"
                << (done == total ? "\r\033[K" : "") << std::flush;
  };
  return data::make_fingerprint(subject.folder, {.workers = std::thread::hardware_concurrency(), .progress = progress});
}

void add_task_splits(Fingerprint& fingerprint, const std::vector<config::TaskSpec>& tasks) {
  for (const auto& task : tasks) {
    auto spec = task.splits;
    spec.allow_shared_patients = true;  // here they are found, not refused
    try {
      const auto made = train::make_splits(spec, fingerprint.infos(), SampleKind::slice, 0);
      data::add_splits(
          fingerprint, "task " + task.name,
          {{"train", made.train.volumes}, {"validation", made.validation.volumes}, {"test", made.test.volumes}},
          task.splits.allow_shared_patients);
    } catch (const Error& error) {
      throw Error(error.code(), "task " + task.name + ": " + error.what());
    }
  }
}

void print_intensities(const char* name, const data::Intensities& found) {
  if (found.voxels == 0) return;
  std::cout << "  " << name << ": min " << number(found.minimum);
  for (size_t i = 0; i < data::percents.size(); ++i)
    std::cout << "  " << data::percents[i] << " % " << number(found.percentiles[i]);
  std::cout << "  max " << number(found.maximum) << "  mean " << number(found.mean) << " ± " << number(found.deviation)
            << "\n";
}

template <class Item, class Text>
void print_all(const std::vector<Item>& items, const Text& text) {
  for (size_t i = 0; i < std::min(items.size(), most_listed); ++i) std::cout << "  " << text(items[i]) << "\n";
  if (items.size() > most_listed) std::cout << "  and " << items.size() - most_listed << " more\n";
}

void print_duplicates(const Fingerprint& fingerprint) {
  if (fingerprint.duplicates.empty()) return;
  std::cout << "duplicates: the same pixels\n";
  print_all(fingerprint.duplicates, [&](const data::Duplicate& duplicate) {
    const auto name = [&](int32_t volume) { return fingerprint.volumes[static_cast<size_t>(volume)].info.name; };
    return base::joined(duplicate.volumes, ", ", name) + (duplicate.same_labels ? "" : " (other labels)");
  });
}

void print(const Fingerprint& fingerprint) {
  for (const auto& found : fingerprint.modalities) {
    std::cout << found.modality << ": " << found.volumes << " volumes, " << found.slices << " slices\n  shape "
              << text_of(found.shape) << "\n  spacing " << text_of(found.spacing) << " mm\n";
    print_intensities("all voxels", found.all);
    print_intensities("labelled voxels", found.labelled);
  }
  for (const auto& label : fingerprint.labels)
    std::cout << "label " << label.id << ": " << label.mm3.size() << " volumes, " << label.voxels << " voxels, "
              << text_of(data::spread_of(label.mm3)) << " mm³\n";
  print_duplicates(fingerprint);
  for (const auto& found : fingerprint.splits) {
    std::cout << "splits of " << found.origin << ":";
    for (const auto& split : found.splits) std::cout << " " << split.name << " " << split.volumes.size();
    std::cout << " volumes\n";
    print_all(found.patients, data::shared_patient_text);
    print_all(found.content, data::shared_content_text);
  }
}

void write(const Fingerprint& fingerprint, const Subject& subject, const fs::path& folder) {
  fs::create_directories(folder);
  const auto json = base::dump(data::to_json(fingerprint), 1);
  base::write_derived(folder / "fingerprint.json", json + "\n");
  base::write_derived(folder / "fingerprint.html", experiment::fingerprint_page(fingerprint, subject.name));
  std::cout << (folder / "fingerprint.html").string() << "\n";
}

// A sentence where splits share patients that they may not share.
std::optional<std::string> leak(const Fingerprint& fingerprint) {
  for (const auto& found : fingerprint.splits) {
    if (found.patients.empty() || found.allow_shared_patients) continue;
    return c10::str("splits of ", found.origin, ": ", data::shared_patient_text(found.patients.front()),
                    found.patients.size() > 1 ? c10::str(", as are ", found.patients.size() - 1, " others") : "",
                    "; --allow-shared-patients says that this is meant");
  }
  return std::nullopt;
}

}  // namespace

const char* const cache_info_usage =
    "       ivory cache info FOLDER|EXPERIMENT.toml [--out FOLDER] [--list] [--allow-shared-patients] [KEY=VALUE …]\n"
    "           shapes, spacings, intensities, label volumes, duplicates and patients in several splits of a cache, "
    "or\n"
    "           of those of an experiment with the splits of its tasks; also as fingerprint.json and fingerprint.html\n"
    "           in the cache's folder, or in --out. --list: names the volumes alone, and reads no slices\n";

int cache_info(const std::vector<std::string>& arguments) {
  const Request request = parse(arguments);
  const auto subjects = subjects_of(request);
  std::string leaks;
  for (const Subject& subject : subjects) {
    const data::Manifest manifest = data::read_manifest(subject.folder);
    if (subjects.size() > 1) std::cout << subject.name << ": " << subject.folder.string() << "\n";
    list_volumes(manifest);
    int64_t slices = 0;
    for (const auto& volume : manifest.volumes) slices += volume.info.slices;
    std::cout << manifest.volumes.size() << " volumes, " << slices << " slices, content " << manifest.content_hash
              << std::endl;
    if (request.list) continue;
    Fingerprint fingerprint = read(subject);
    add_task_splits(fingerprint, subject.tasks);
    print(fingerprint);
    const fs::path out = request.out.empty()   ? subject.folder
                         : subjects.size() > 1 ? request.out / subject.name
                                               : request.out;
    write(fingerprint, subject, out);
    if (const auto sentence = leak(fingerprint)) leaks += (leaks.empty() ? "" : "\n") + *sentence;
  }
  IVORY_CHECK(leaks.empty() || request.allow_shared_patients, leaks);
  return static_cast<int>(ExitCode::done);
}

}  // namespace ivory::tools
