#include "config/sweep.h"

#include <algorithm>

#include "base/text.h"
#include "config/section.h"

namespace ivory::config {
namespace {

constexpr size_t most_points = 10000;

struct Axis {
  std::string path;
  Place place;
  List values;
};

bool is_path(const std::string& key, const Place& place, Diagnostics& diagnostics) {
  if (key == "plugins" || key.find('.') != std::string::npos) return true;
  diagnostics.add(place, "'" + key + "' is not a path in quotes such as \"stage.joint.epochs\"");
  return false;
}

std::vector<Axis> read_axes(Section& sweep) {
  std::vector<Axis> axes;
  auto parameters = sweep.section("parameters");
  if (!parameters) return axes;
  for (const auto& member : *parameters->node().table()) {
    parameters->take(member.key);
    if (!is_path(member.key, member.place, sweep.diagnostics())) continue;
    const List* values = member.node.list();
    if (values && !values->empty()) {
      axes.push_back({member.key, member.place, *values});
    } else {
      sweep.diagnostics().add(
          member.place, "'" + member.key + "' must be a list of at least one value, got " + described(member.node));
    }
  }
  return axes;
}

// Every point of `points` with every value of the axis; the last axis varies fastest.
std::vector<SweepPoint> times(const std::vector<SweepPoint>& points, const Axis& axis) {
  std::vector<SweepPoint> product;
  for (const auto& point : points) {
    for (const auto& value : axis.values) {
      product.push_back(point);
      product.back().push_back({axis.path, axis.place, value});
    }
  }
  return product;
}

bool too_many(size_t points, const Axis& axis, const Section& sweep) {
  if (points * axis.values.size() <= most_points) return false;
  sweep.error("the sweep has more than " + std::to_string(most_points) + " points");
  return true;
}

std::vector<SweepPoint> grid(const std::vector<Axis>& axes, const Section& sweep) {
  std::vector<SweepPoint> points(1);
  for (const auto& axis : axes) {
    if (too_many(points.size(), axis, sweep)) return std::vector<SweepPoint>(1);
    points = times(points, axis);
  }
  return points;
}

std::vector<SweepPoint> zip(const std::vector<Axis>& axes, const Section& sweep) {
  if (axes.empty()) return std::vector<SweepPoint>(1);
  std::vector<SweepPoint> points(axes.front().values.size());
  for (const auto& axis : axes) {
    if (axis.values.size() != points.size()) {
      sweep.diagnostics().add(axis.place, "the lists of a zip must be equally long: '" + axes.front().path + "' has " +
                                              std::to_string(points.size()) + " values, '" + axis.path + "' has " +
                                              std::to_string(axis.values.size()));
      continue;
    }
    for (size_t i = 0; i < points.size(); ++i) points[i].push_back({axis.path, axis.place, axis.values[i]});
  }
  return points;
}

// `key`: "points", or "trials" as they were called.
std::vector<SweepPoint> list(Section& sweep, const std::string& key) {
  std::vector<SweepPoint> points;
  if (!sweep.require(key, "mode \"list\" lists its points")) return std::vector<SweepPoint>(1);
  for (const auto& one : sweep.sections(key)) {
    SweepPoint point;
    for (const auto& member : *one.node().table()) {
      if (is_path(member.key, member.place, sweep.diagnostics())) {
        point.push_back({member.key, member.place, member.node});
      }
    }
    points.push_back(std::move(point));
  }
  const Node& node = sweep.take(key)->node;
  if (node.list() && node.list()->empty()) sweep.must_be(key, "a list of at least one point");
  return points.empty() ? std::vector<SweepPoint>(1) : points;
}

Sweep read_sweep(Section& sweep) {
  std::string mode = "grid";
  sweep.read_choice("mode", mode, {"grid", "zip", "list"});
  const std::string listed = sweep.has("trials") && !sweep.has("points") ? "trials" : "points";
  for (const std::string& key : {std::string("parameters"), listed}) {
    if (sweep.take(key) && (key == listed) != (mode == "list")) {
      sweep.error(key, "'sweep." + key + "' is not used by mode \"" + mode + "\"");
    }
  }
  std::vector<SweepPoint> points;
  if (mode == "list") {
    points = list(sweep, listed);
  } else {
    points = mode == "grid" ? grid(read_axes(sweep), sweep) : zip(read_axes(sweep), sweep);
    if (!sweep.has("seeds")) sweep.require("parameters", "a table of paths with their values");
  }
  std::vector<int64_t> seeds;
  if (sweep.read("seeds", seeds, at_least(0)) && !seeds.empty()) {
    const Axis axis{"experiment.seed", sweep.place("seeds"), *sweep.take("seeds")->node.list()};
    if (!too_many(points.size(), axis, sweep)) points = times(points, axis);
  }
  auto halving = read_halving(sweep);
  if (halving && points.size() < 2) sweep.error("halving", "'sweep.halving' compares points, and the sweep has one");
  sweep.finish();
  return {std::move(points), std::move(halving)};
}

}  // namespace

Sweep take_sweep(Node& document, Diagnostics& diagnostics) {
  Sweep taken{.points = std::vector<SweepPoint>(1)};
  {
    Section root(document, document.place, "", diagnostics);
    if (auto sweep = root.section("sweep")) taken = read_sweep(*sweep);
  }
  std::erase_if(std::get<Table>(document.value), [](const Member& member) { return member.key == "sweep"; });
  return taken;
}

std::string described(const SweepPoint& point) {
  return base::joined(point, ", ", [](const auto& setting) { return setting.path + "=" + written(setting.value); });
}

}  // namespace ivory::config
