// ivory store: what the results' store holds, one part of it, whether it is whole, and removing what nobody needs.
#include <fmt/format.h>
#include <ivory/error.h>

#include <cmath>
#include <iomanip>
#include <iostream>

#include "base/text.h"
#include "commands.h"
#include "plan/places.h"
#include "plan/store_view.h"
#include "run/queued.h"

namespace ivory::tools {
namespace {

using experiment::StoredPart;

constexpr const char* usage =
    "usage: ivory store list [--output FOLDER]              the parts: state, size, when they ended, identity, name\n"
    "       ivory store show PART [--output FOLDER]         one of them; PART: the beginning of its folder or "
    "identity\n"
    "       ivory store verify [--output FOLDER]            records and weights are read and compared\n"
    "       ivory store gc [--output FOLDER] [--unfinished] [--delete]\n"
    "           what no run folder's plan holds, and what killed processes left behind; with --unfinished also parts\n"
    "           that were interrupted, stopped early or failed. Nothing is removed without --delete, and nothing that "
    "is in use.\n"
    "FOLDER is that of the runs (default: runs).\n";

struct Request {
  std::string action, part;
  std::filesystem::path output = "runs";
  bool unfinished = false, remove = false;
};

Request parse(std::vector<std::string> arguments) {
  Request request;
  request.unfinished = std::erase(arguments, "--unfinished") > 0;
  request.remove = std::erase(arguments, "--delete") > 0;
  std::vector<std::string> words;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--output") {
      IVORY_CHECK(i + 1 < arguments.size(), "ivory store: --output needs a folder\n", usage);
      request.output = arguments[++i];
    } else {
      IVORY_CHECK(!arguments[i].starts_with("--"), "ivory store: unknown option '", arguments[i], "'\n", usage);
      words.push_back(arguments[i]);
    }
  }
  IVORY_CHECK(!words.empty(), "ivory store: what is to be done?\n", usage);
  request.action = words[0];
  IVORY_CHECK(words.size() == (request.action == "show" ? 2U : 1U), "ivory store ", request.action, ": ",
              words.size() - 1, " arguments\n", usage);
  if (words.size() > 1) request.part = words[1];
  IVORY_CHECK(request.action == "gc" || (!request.unfinished && !request.remove), "ivory store ", request.action,
              ": --unfinished and --delete are options of gc\n", usage);
  return request;
}

std::string state_text(const StoredPart& part) {
  return part.damaged ? "damaged" : to_text(part.state);
}

int list(const Request& request) {
  uintmax_t bytes = 0;
  const auto parts = experiment::stored_parts(request.output);
  for (const auto& part : parts) {
    bytes += part.bytes;
    std::cout << std::left << std::setw(14) << state_text(part) << std::right << std::setw(12)
              << base::size_text(static_cast<double>(part.bytes)) << "  " << std::left << std::setw(20)
              << (part.finished.empty() ? "–" : part.finished) << "  " << part.identity.substr(0, 12) << "  "
              << (part.kind.starts_with("smoke") ? "smoke " : "") << part.label
              << (part.reason.empty() ? "" : ": " + part.reason) << "\n";
  }
  std::cout << parts.size() << " parts, " << base::size_text(static_cast<double>(bytes)) << "\n";
  return static_cast<int>(ExitCode::done);
}

void show_scores(const char* title, const std::vector<experiment::NamedValue>& scores) {
  if (scores.empty()) return;
  std::cout << title;
  for (const auto& [name, value] : scores) {
    std::cout << "  " << name << " " << (std::isfinite(value) ? fmt::format("{}", value) : "not a number");
  }
  std::cout << "\n";
}

void show_record(const experiment::Record& record) {
  for (const auto& input : record.inputs) std::cout << "input: " << input << "\n";
  std::cout << "steps: " << record.steps << "\nseconds: " << fmt::format("{}", record.seconds) << "\n";
  if (record.kind == experiment::PartKind::task) std::cout << "best_epoch: " << record.task.best_epoch << "\n";
  show_scores("validation:", record.task.validation);
  show_scores("test:", record.task.test);
  if (record.weights) {
    std::cout << "weights\n  bytes: " << record.weights->bytes << "\n  xxh3: " << record.weights->xxh3 << "\n";
  }
  std::cout << "provenance\n  uncommitted changes: " << (record.provenance.dirty ? "yes" : "none") << "\n";
  for (const auto& [name, text] : entries(record.provenance)) std::cout << "  " << name << ": " << text << "\n";
}

int show(const Request& request) {
  const StoredPart part = experiment::stored_part(request.output, request.part);
  std::cout << part.label << ": " << state_text(part) << (part.reason.empty() ? "" : ": " + part.reason) << "\n"
            << "folder: " << part.folder.string() << ", " << base::size_text(static_cast<double>(part.bytes)) << "\n"
            << "identity: " << part.identity << "\n";
  if (!part.finished.empty()) std::cout << "finished: " << part.finished << "\n";
  if (part.record) show_record(*part.record);
  return static_cast<int>(ExitCode::done);
}

int verify(const Request& request) {
  size_t faults = 0;
  const auto parts = experiment::stored_parts(request.output);
  for (const auto& part : parts) {
    for (const auto& fault : experiment::faults_of(part)) {
      ++faults;
      std::cout << fault << "\n";
    }
  }
  std::cout << parts.size() << " parts read, " << faults << " faults\n";
  return static_cast<int>(faults == 0 ? ExitCode::done : ExitCode::run_failed);
}

int gc(const Request& request) {
  uintmax_t bytes = 0;
  const auto garbage = experiment::garbage_of(request.output, request.unfinished,
                                              experiment::may_be_queued(experiment::store_folder(request.output)));
  for (const auto& one : garbage) {
    std::string what = "would be removed: ";
    if (request.remove) what = experiment::remove_garbage(one) ? "removed: " : "in use by now, kept: ";
    if (!what.ends_with("kept: ")) bytes += one.bytes;
    std::cout << what << one.path.string() << " (" << one.why << ", " << base::size_text(static_cast<double>(one.bytes))
              << ")\n";
  }
  std::cout << garbage.size() << " found, " << base::size_text(static_cast<double>(bytes))
            << (garbage.empty() || request.remove ? "" : "; --delete removes them") << "\n";
  return static_cast<int>(ExitCode::done);
}

}  // namespace

int run_store(const std::vector<std::string>& arguments) {
  if (!arguments.empty() && (arguments[0] == "--help" || arguments[0] == "-h")) {
    std::cout << usage;
    return static_cast<int>(ExitCode::done);
  }
  const Request request = parse(arguments);
  if (request.action == "list") return list(request);
  if (request.action == "show") return show(request);
  if (request.action == "verify") return verify(request);
  if (request.action == "gc") return gc(request);
  throw bad_request("ivory store: unknown action '", request.action, "'\n", usage);
}

}  // namespace ivory::tools
