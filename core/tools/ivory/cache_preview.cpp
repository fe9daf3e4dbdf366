#include "cache_preview.h"

#include <ivory/error.h>

#include <charconv>
#include <iostream>
#include <optional>

#include "config/experiment.h"
#include "eval/png.h"
#include "plan/cache_store.h"
#include "plugin/registry.h"
#include "run/log.h"
#include "run/preview.h"
#include "train/stop.h"

namespace ivory::tools {
namespace {

namespace fs = std::filesystem;

constexpr int64_t most_samples = 1000;

struct Request {
  std::string experiment, stage;
  std::vector<std::string> overrides;
  std::vector<fs::path> caches;  // instead of an experiment
  fs::path output = "preview.png";
  int64_t samples = 8;
  std::optional<uint64_t> seed;  // default: the experiment's
  bool volumes = false;
};

template <class Number>
Number number_of(const std::string& option, const std::string& text, Number least, Number most) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  IVORY_CHECK(error == std::errc() && end == text.data() + text.size() && value >= least && value <= most,
              "ivory cache preview: ", option, " ", text, ", expected a whole number of ", least, " to ", most);
  return value;
}

Request parse(std::vector<std::string> arguments) {
  Request request;
  request.volumes = std::erase(arguments, "--volumes") > 0;
  std::erase(arguments, "--set");  // as run-experiment has it
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    const auto value = [&]() -> const std::string& {
      IVORY_CHECK(i + 1 < arguments.size(), "ivory cache preview: ", word, " needs a value\n", cache_preview_usage);
      return arguments[++i];
    };
    if (word == "--output") {
      request.output = value();
    } else if (word == "--cache") {
      request.caches.emplace_back(value());
    } else if (word == "--samples") {
      request.samples = number_of<int64_t>("--samples", value(), 1, most_samples);
    } else if (word == "--seed") {
      request.seed = number_of<uint64_t>("--seed", value(), 0, std::numeric_limits<int64_t>::max());
    } else if (word.starts_with("--")) {
      throw bad_request("ivory cache preview: unknown option '", word, "'\n", cache_preview_usage);
    } else if (word.find('=') != std::string::npos) {
      request.overrides.push_back(word);
    } else if (request.experiment.empty()) {
      request.experiment = word;
    } else {
      IVORY_CHECK(request.stage.empty(), "ivory cache preview: '", word, "' after the stage '", request.stage, "'\n",
                  cache_preview_usage);
      request.stage = word;
    }
  }
  IVORY_CHECK(request.experiment.empty() != request.caches.empty(),
              "ivory cache preview: expected an experiment with a stage, or --cache FOLDER\n", cache_preview_usage);
  return request;
}

const config::StageSpec& chosen_stage(const config::Experiment& experiment, const std::string& name) {
  IVORY_CHECK(!experiment.stages.empty(), "ivory cache preview: experiment '", experiment.name,
              "' has no stage, whose views could be shown");
  std::string names;
  for (const auto& stage : experiment.stages) {
    if (stage.name == name || (name.empty() && experiment.stages.size() == 1)) return stage;
    names += (names.empty() ? "" : ", ") + stage.name;
  }
  throw bad_request("ivory cache preview: ", name.empty() ? "no stage is named" : "there is no stage '" + name + "'",
                    ", expected one of: ", names);
}

std::shared_ptr<const data::DataSet> opened(const std::vector<fs::path>& folders) {
  std::vector<std::shared_ptr<const data::SliceCache>> caches;
  for (const fs::path& folder : folders) caches.push_back(std::make_shared<const data::SliceCache>(folder));
  return std::make_shared<const data::DataSet>(std::move(caches));
}

bool learns_from_slices(const config::StageSpec& stage) {
  return std::ranges::any_of(stage.objectives, [](const auto& use) { return use.on == SampleKind::slice; });
}

}  // namespace

const char* const cache_preview_usage =
    "       ivory cache preview EXPERIMENT.toml STAGE [KEY=VALUE …] [options]\n"
    "       ivory cache preview --cache FOLDER … [options]\n"
    "           a PNG of augmented views: a row for each sample, untouched first; STAGE's views and data, or the\n"
    "           default views of one or more caches\n"
    "           --output FILE   default preview.png\n"
    "           --samples N     rows, default 8\n"
    "           --seed N        of samples and views, default the experiment's seed\n"
    "           --volumes       views of volumes, where the stage has those of slices too\n";

int cache_preview(const std::vector<std::string>& arguments) {
  const Request request = parse(arguments);
  config::StageSpec stage;
  std::vector<fs::path> folders = request.caches;
  experiment::PreviewRequest preview{.samples = request.samples, .seed = request.seed.value_or(1)};
  bool volumes = request.volumes;
  if (folders.empty()) {
    experiment::open_console_log();
    train::install_signal_handlers();
    plugin::Registry registry;
    registry.discover();
    const auto experiment = config::load_experiments(request.experiment, request.overrides, registry).front();
    stage = chosen_stage(experiment, request.stage);
    volumes |= !learns_from_slices(stage);
    preview.seed = request.seed.value_or(experiment.seed);
    for (const auto& name : stage.data) folders.push_back(experiment::ensure_cache(experiment.data_set(name)).folder);
  }
  if (volumes) preview.kind = SampleKind::volume;
  const auto sheet = experiment::preview_sheet(opened(folders), stage, preview);
  eval::write_png(request.output, sheet);
  std::cout << request.output.string() << ": " << request.samples << (volumes ? " volumes, " : " slices, ")
            << sheet.size(2) << " × " << sheet.size(1) << " pixels\n";
  return 0;
}

}  // namespace ivory::tools
