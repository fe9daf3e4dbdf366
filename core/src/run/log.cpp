#include "run/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <fstream>

namespace ivory::experiment {
namespace {

void install(std::vector<spdlog::sink_ptr> sinks, int64_t rank = 0) {
  auto console = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  console->set_pattern(rank > 0 ? fmt::format("[ivory {}] %v", rank) : "[ivory] %v");
  sinks.insert(sinks.begin(), std::move(console));
  auto logger = std::make_shared<spdlog::logger>("ivory", sinks.begin(), sinks.end());
  logger->flush_on(spdlog::level::info);
  spdlog::drop("ivory");
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace

void open_log(const std::filesystem::path& file) {
  auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string());
  sink->set_pattern("%Y-%m-%d %H:%M:%S.%e %l  %v");
  install({std::move(sink)});
}

void open_console_log(int64_t rank) {
  install({}, rank);
}

std::string last_line(const std::filesystem::path& log) {
  std::ifstream in(log);
  std::string last;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty()) last = line;
  }
  return last;
}

}  // namespace ivory::experiment
