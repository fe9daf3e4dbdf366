// ivory report: writes the report of a run anew, or serves it while the experiment runs.
#include <ivory/error.h>

#include <iostream>

#include "arguments.h"
#include "base/files.h"
#include "commands.h"
#include "plan/store.h"
#include "report/page_server.h"
#include "report/run_report.h"

namespace ivory::tools {
namespace fs = std::filesystem;
namespace options = boost::program_options;
namespace {

constexpr const char* command = "ivory report";
constexpr int64_t usual_port = 8477;

// The last page of each folder, made anew when what it shows has changed.
class Pages {
 public:
  Pages(fs::path folder, plugin::Registry& registry) : folder_(std::move(folder)), registry_(registry) {}

  std::optional<experiment::ServedPage> of(const std::string& path) {
    if (path == "/" || path == "/report.html") return page(folder_);
    if (path == "/tag") return tag(folder_);
    for (const auto& point : experiment::points_of(folder_)) {
      if (path == "/" + point + "/report.html") return page(folder_ / point);
      if (path == "/" + point + "/tag") return tag(folder_ / point);
    }
    return {};
  }

 private:
  static experiment::ServedPage tag(const fs::path& folder) {
    return {.type = "text/plain; charset=utf-8", .body = experiment::tag_of(folder)};
  }

  experiment::ServedPage page(const fs::path& folder) {
    const std::string tag = experiment::tag_of(folder);  // before: what changes meanwhile is another tag
    auto& [shown, text] = pages_[folder];
    if (shown != tag) {
      text = to_html(experiment::report_of(folder, registry_), experiment::Live{.tag = tag});
      shown = tag;
    }
    return {.body = text};
  }

  const fs::path folder_;
  plugin::Registry& registry_;
  std::map<fs::path, std::pair<std::string, std::string>> pages_;  // tag, HTML
};

void serve(const fs::path& folder, plugin::Registry& registry, int64_t port) {
  IVORY_CHECK(port >= 0 && port <= 65535, command, ": --port must be 0 … 65535, got ", port);
  Pages pages(folder, registry);
  IVORY_CHECK(pages.of("/"), command, ": no report");  // what is wrong with the folder is said here, not to a visitor
  experiment::serve_pages(
      static_cast<uint16_t>(port), [&](const std::string& path) { return pages.of(path); },
      [&](uint16_t actual) {
        std::cout << "Serving the report of " << folder.string() << " at http://127.0.0.1:" << actual
                  << "/ (Ctrl-C ends it)" << std::endl;
      });
}

}  // namespace

int run_report(const std::vector<std::string>& arguments) {
  options::options_description visible(
      "usage: ivory report RUN [--serve [--port N]]\n\nRUN is the folder of a run, runs/NAME, or of a sweep. Its "
      "report.html is written anew from what lies there\nand in the store: at any time, also while the experiment "
      "runs, and without its data.\n\nOptions");
  add_load(visible);
  visible.add_options()("serve",
                        "write nothing; show the report at http://127.0.0.1:PORT/, to this machine alone, "
                        "where it follows the experiment as it runs; Ctrl-C ends it")(
      "port", options::value<int64_t>(), "of --serve (default 8477); 0: any that is free");
  const Arguments parsed = parse_arguments(command, visible, arguments, {"RUN"});
  if (parsed.help) return static_cast<int>(ExitCode::done);
  IVORY_CHECK(parsed.has("serve") || !parsed.has("port"), command, ": --port is an option of --serve");
  const fs::path folder = parsed.get("RUN");
  IVORY_CHECK(fs::is_directory(folder), command, ": there is no folder ", folder.string());
  plugin::Registry registry = loaded(parsed);
  if (parsed.has("serve")) {
    serve(folder, registry, parsed.has("port") ? parsed.get<int64_t>("port") : usual_port);
    return static_cast<int>(ExitCode::done);
  }
  base::write_durable(folder / "report.html", to_html(experiment::report_of(folder, registry)));
  std::cout << (folder / "report.html").string() << "\n";
  return static_cast<int>(ExitCode::done);
}

}  // namespace ivory::tools
