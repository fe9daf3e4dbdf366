// ivory store: what the results' store holds, one node of it, whether it is whole, and removing what nobody needs.
#include <ivory/error.h>

#include <cstdio>
#include <iomanip>
#include <iostream>

#include "base/json_text.h"
#include "base/text.h"
#include "commands.h"
#include "plan/places.h"
#include "plan/store_view.h"
#include "run/queued.h"

namespace ivory::tools {
namespace {

using experiment::StoredNode;
using nlohmann::json;

constexpr const char* usage =
    "usage: ivory store list [--output FOLDER]              the nodes: state, size, when they ended, identity, name\n"
    "       ivory store show NODE [--output FOLDER]         one of them; NODE: the beginning of its folder or "
    "identity\n"
    "       ivory store verify [--output FOLDER]            records and weights are read and compared\n"
    "       ivory store gc [--output FOLDER] [--unfinished] [--delete]\n"
    "           what no run folder's plan holds, and what killed processes left behind; with --unfinished also nodes\n"
    "           that were interrupted, stopped early or failed. Nothing is removed without --delete, and nothing that "
    "is in use.\n"
    "FOLDER is that of the runs (default: runs).\n";

struct Request {
  std::string action, node;
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
  if (words.size() > 1) request.node = words[1];
  IVORY_CHECK(request.action == "gc" || (!request.unfinished && !request.remove), "ivory store ", request.action,
              ": --unfinished and --delete are options of gc\n", usage);
  return request;
}

int list(const Request& request) {
  uintmax_t bytes = 0;
  const auto nodes = experiment::stored_nodes(request.output);
  for (const auto& node : nodes) {
    bytes += node.bytes;
    std::cout << std::left << std::setw(14) << node.state << std::right << std::setw(12)
              << base::size_text(static_cast<double>(node.bytes)) << "  " << std::left << std::setw(20)
              << (node.finished.empty() ? "–" : node.finished) << "  " << node.identity.substr(0, 12) << "  "
              << (node.kind.starts_with("smoke") ? "smoke " : "") << node.label
              << (node.reason.empty() ? "" : ": " + node.reason) << "\n";
  }
  std::cout << nodes.size() << " nodes, " << base::size_text(static_cast<double>(bytes)) << "\n";
  return static_cast<int>(ExitCode::done);
}

std::string text_of(const json& value) {
  return value.is_string() ? value.get<std::string>() : base::dump(value);
}

void show_part(const char* title, const json& part) {
  if (part.empty()) return;
  std::cout << title << "\n";
  for (const auto& [key, value] : part.items()) std::cout << "  " << key << ": " << text_of(value) << "\n";
}

void show_scores(const char* title, const json& scores) {
  if (scores.empty()) return;
  std::cout << title;
  for (const auto& score : scores) {
    const json value = score.value("value", json());
    std::cout << "  " << score.value("name", "") << " " << (value.is_number() ? base::dump(value) : "not a number");
  }
  std::cout << "\n";
}

int show(const Request& request) {
  const StoredNode node = experiment::stored_node(request.output, request.node);
  std::cout << node.label << ": " << node.state << (node.reason.empty() ? "" : ": " + node.reason) << "\n"
            << "folder: " << node.folder.string() << ", " << base::size_text(static_cast<double>(node.bytes)) << "\n"
            << "identity: " << node.identity << "\n";
  if (!node.finished.empty()) std::cout << "finished: " << node.finished << "\n";
  if (node.record.is_null()) return static_cast<int>(ExitCode::done);
  for (const auto& input : node.record.value("inputs", json::array())) std::cout << "input: " << text_of(input) << "\n";
  for (const char* key : {"steps", "seconds", "best_epoch"}) {
    if (node.record.contains(key)) std::cout << key << ": " << text_of(node.record[key]) << "\n";
  }
  show_scores("validation:", node.record.value("validation", json::array()));
  show_scores("test:", node.record.value("test", json::array()));
  show_part("weights", node.record.value("weights", json::object()));
  show_part("provenance", node.record.value("provenance", json::object()));
  return static_cast<int>(ExitCode::done);
}

int verify(const Request& request) {
  size_t faults = 0;
  const auto nodes = experiment::stored_nodes(request.output);
  for (const auto& node : nodes) {
    for (const auto& fault : experiment::faults_of(node)) {
      ++faults;
      std::cout << fault << "\n";
    }
  }
  std::cout << nodes.size() << " nodes read, " << faults << " faults\n";
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
