#include "run/halving.h"

#include <ivory/error.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <numeric>

#include "base/json_text.h"
#include "base/text.h"
#include "plan/record.h"
#include "plan/store.h"

namespace ivory::experiment {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr double nothing = std::numeric_limits<double>::quiet_NaN();

std::string ordinal(size_t rank) {
  const size_t tens = rank % 100, ones = rank % 10;
  const bool teen = tens >= 11 && tens <= 13;
  return std::to_string(rank) + (teen ? "th" : ones == 1 ? "st" : ones == 2 ? "nd" : ones == 3 ? "rd" : "th");
}

// The line of that epoch, or of the last one of a part that is done.
std::optional<json> epoch_line(const fs::path& part, int64_t epoch) {
  std::ifstream in(part / "metrics.jsonl");
  std::optional<json> last;
  for (std::string text; std::getline(in, text);) {
    if (text.find("\"kind\":\"epoch\"") == std::string::npos) continue;
    auto line = base::json_or_nothing(text);
    if (!line) continue;
    const int64_t number = line->value("epoch", int64_t{-1}) + 1;
    last = std::move(line);
    if (number == epoch) return last;
  }
  return fs::exists(part / record_file) ? last : std::nullopt;
}

double value_in(const json& values, const std::string& name, const std::string& where) {
  if (const auto found = values.find(name); found != values.end()) {
    return found->is_number() ? found->get<double>() : nothing;
  }
  std::vector<std::string> known;
  for (const auto& [other, value] : values.items()) {
    if (value.is_number() || value.is_null()) known.push_back(other);
  }
  throw run_failed("sweep.halving.metric: ", where, " has no '", name, "', only ", base::joined(known));
}

// A probe that could not be scored leaves no value.
double probe_in(const json& line, const std::string& metric, const std::string& where) {
  const size_t first = metric.find('/'), second = metric.find('/', first + 1);
  const std::string task = metric.substr(first + 1, second - first - 1);
  const json probes = line.value("probes", json::object());
  return probes.contains(task) ? value_in(probes[task], metric.substr(second + 1), where) : nothing;
}

// Ranks from 0.
std::vector<size_t> ranks_of(const std::vector<double>& values, bool greater_is_better) {
  std::vector<size_t> order(values.size()), ranks(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) {
    if (std::isnan(values[a]) || std::isnan(values[b])) return !std::isnan(values[a]) && std::isnan(values[b]);
    return greater_is_better ? values[a] > values[b] : values[a] < values[b];
  });
  for (size_t rank = 0; rank < order.size(); ++rank) ranks[order[rank]] = rank;
  return ranks;
}

size_t kept_of(size_t count, double keep) {
  const double share = keep * static_cast<double>(count);
  return std::max<size_t>(1,
                          static_cast<size_t>(std::ceil(share - 1e-9)));  // 0.7 · 10 is more than 7 in floating point
}

}  // namespace

std::optional<double> value_at(const fs::path& part, const config::HalvingSpec& spec, int64_t epoch) {
  const auto line = epoch_line(part, epoch);
  const std::string where = "an epoch of " + (spec.task.empty() ? "stage " + spec.stage : "task " + spec.task);
  if (!line) {
    if (fs::exists(part / record_file)) throw run_failed("sweep.halving: ", where, " is nowhere recorded: it has none");
    return {};
  }
  if (spec.metric.starts_with("probes/")) return probe_in(*line, spec.metric, where);
  return value_in(line->value(spec.task.empty() ? "means" : "validation", json::object()), spec.metric, where);
}

std::vector<bool> go_on(const std::vector<double>& values, const config::HalvingSpec& spec) {
  const auto ranks = ranks_of(values, spec.greater_is_better);
  std::vector<bool> better;
  for (const size_t rank : ranks) better.push_back(rank < kept_of(values.size(), spec.keep));
  return better;
}

Halving::Halving(const config::HalvingSpec& spec, PartQueue& queue, std::vector<HalvingPoint> points,
                 std::function<fs::path(size_t)> folder)
    : spec_(spec),
      queue_(queue),
      points_(std::move(points)),
      folder_(std::move(folder)),
      states_(points_.size(), State::in),
      stopped_at_(spec.rungs.size()) {
  for (size_t i = 0; i < points_.size(); ++i) {
    if (points_[i].compared.empty()) states_[i] = State::lost;
    for (const size_t entry : points_[i].compared) {
      compared_.insert(entry);
      need(entry);
    }
  }
  record_ = {{spec.task.empty() ? "stage" : "task", spec.task.empty() ? spec.stage : spec.task},
             {"metric", spec.metric},
             {"mode", spec.greater_is_better ? "max" : "min"},
             {"keep", spec.keep},
             {"rungs", json::array()}};
}

void Halving::need(size_t entry) {
  if (!needed_.insert(entry).second) return;
  for (const size_t input : queue_[entry].inputs) need(input);
}

int64_t Halving::until_epoch(size_t entry) const {
  return !over() && is_compared(entry) ? spec_.rungs[rung_] : 0;
}

bool Halving::pause_if_there(size_t entry) {
  if (over() || !is_compared(entry) || !value_at(folder_(entry), spec_, spec_.rungs[rung_])) return false;
  queue_.pause(entry);
  return true;
}

bool Halving::all_there() const {
  for (size_t i = 0; i < points_.size(); ++i) {
    if (states_[i] != State::in) continue;
    for (const size_t entry : points_[i].compared) {
      const QueueState state = queue_[entry].state;
      if (state == QueueState::waiting || state == QueueState::running) return false;
    }
  }
  return true;
}

void Halving::leave_lost() {
  for (size_t i = 0; i < points_.size(); ++i) {
    const bool lost = std::ranges::any_of(points_[i].compared, [&](size_t entry) {
      return queue_[entry].state == QueueState::failed || queue_[entry].state == QueueState::left;
    });
    if (states_[i] == State::in && lost) states_[i] = State::lost;
  }
}

// The mean over the rows and repetitions of a task.
std::optional<double> Halving::value_of(const HalvingPoint& point) const {
  double sum = 0;
  for (const size_t entry : point.compared) {
    const auto value = value_at(folder_(entry), spec_, spec_.rungs[rung_]);
    if (!value) return {};
    sum += *value;
  }
  return sum / static_cast<double>(point.compared.size());
}

bool Halving::decide() {
  if (over() || !all_there()) return false;
  leave_lost();
  std::vector<size_t> in;
  std::vector<double> values;
  for (size_t i = 0; i < points_.size(); ++i) {
    if (states_[i] != State::in) continue;
    in.push_back(i);
    values.push_back(value_of(points_[i]).value_or(nothing));
  }
  stop_worse(in, values);
  ++rung_;
  for (const size_t entry : compared_) {
    if (queue_[entry].state == QueueState::paused) queue_.resume(entry);
  }
  return true;
}

void Halving::stop_worse(const std::vector<size_t>& in, const std::vector<double>& values) {
  const int64_t epoch = spec_.rungs[rung_];
  const auto ranks = ranks_of(values, spec_.greater_is_better);
  const auto better = go_on(values, spec_);
  const auto kept = std::ranges::count(better, true);
  json decided = json::array();
  for (size_t i = 0; i < in.size(); ++i) {
    decided.push_back({{"point", points_[in[i]].name}, {"value", values[i]}, {"goes on", bool{better[i]}}});
    if (!better[i]) states_[in[i]] = State::stopped;
  }
  record_["rungs"].push_back({{"epoch", epoch}, {"points", decided}});
  const std::set<size_t> shared = entries_of_others();
  for (size_t i = 0; i < in.size(); ++i) {
    if (better[i]) continue;
    ++stopped_at_[rung_];
    end_entries(points_[in[i]], shared,
                "stopped early at epoch " + std::to_string(epoch) + ": " + spec_.metric + " " +
                    base::number(values[i]) + " is " + ordinal(ranks[i] + 1) + " of " + std::to_string(in.size()) +
                    ", " + std::to_string(kept) + (kept == 1 ? " goes on" : " go on"));
  }
}

// Of the points that are not stopped.
std::set<size_t> Halving::entries_of_others() const {
  std::set<size_t> entries;
  for (size_t i = 0; i < points_.size(); ++i) {
    if (states_[i] != State::stopped) entries.insert(points_[i].entries.begin(), points_[i].entries.end());
  }
  return entries;
}

void Halving::end_entries(const HalvingPoint& point, const std::set<size_t>& but, const std::string& reason) {
  for (const size_t entry : point.entries) {
    const QueueState state = queue_[entry].state;
    if (but.contains(entry) || (state != QueueState::waiting && state != QueueState::paused)) continue;
    queue_.end(entry, QueueState::stopped, reason);
    if (is_compared(entry)) stopped_now_.push_back({entry, reason});
  }
}

std::string Halving::summary() const {
  std::string text = "halving: of " + std::to_string(points_.size()) + " points ";
  size_t on = points_.size();
  for (size_t rung = 0; rung < rung_; ++rung) {
    text += std::to_string(stopped_at_[rung]) + (rung == 0 ? " were stopped" : "") + " at epoch " +
            std::to_string(spec_.rungs[rung]) + ", ";
    on -= stopped_at_[rung];
  }
  const auto lost = static_cast<size_t>(std::ranges::count(states_, State::lost));
  if (lost > 0) text += std::to_string(lost) + " failed or had no data, ";
  return text + std::to_string(on - lost) + " went on";
}

std::unique_ptr<Halving> make_halving(const std::vector<SweepPoint>& points, PartQueue& queue) {
  const auto& spec = *points.front().experiment.halving;
  std::vector<HalvingPoint> compared;
  std::map<size_t, fs::path> folders;
  for (const SweepPoint& point : points) {
    HalvingPoint one{.name = point.experiment.sweep_point, .compared = {}, .entries = point.entries};
    const Store store(point.experiment.output);
    for (size_t i = 0; i < point.entries.size(); ++i) {
      const Part& part = point.plan.parts[i];
      folders.emplace(point.entries[i], store.folder(part));
      if (part.name == (part.kind == PartKind::stage ? spec.stage : spec.task))
        one.compared.push_back(point.entries[i]);
    }
    compared.push_back(std::move(one));
  }
  return std::make_unique<Halving>(spec, queue, std::move(compared),
                                   [folders](size_t entry) { return folders.at(entry); });
}

std::string describe(const config::HalvingSpec& halving) {
  const std::string epochs = base::joined(halving.rungs, ", ", [](int64_t rung) { return std::to_string(rung); });
  char keep[32];
  std::snprintf(keep, sizeof keep, "%g", 100 * halving.keep);
  return "  halving: after epochs " + epochs + " of " +
         (halving.task.empty() ? "stage " + halving.stage : "task " + halving.task) + " the " + keep + " % of the " +
         "points with the " + (halving.greater_is_better ? "greatest " : "least ") + halving.metric +
         " go on; times below are those without it\n";
}

}  // namespace ivory::experiment
