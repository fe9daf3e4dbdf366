#include "ingest/boxes.h"

#include <fmt/format.h>
#include <ivory/error.h>

#include <algorithm>
#include <cmath>
#include <sstream>

namespace ivory::ingest {
namespace {

double area(const std::array<double, 4>& edge) {
  return std::max(0.0, edge[2] - edge[0]) * std::max(0.0, edge[3] - edge[1]);
}

Box mean(const std::vector<Box>& group) {
  Box box{group.front().finding};
  for (size_t i = 0; i < 4; ++i) {
    for (const auto& one : group) box.edge[i] += one.edge[i] / static_cast<double>(group.size());
  }
  return box;
}

// Pixels whose centres lie between two edges.
std::array<int64_t, 2> pixels_between(double first, double last, int64_t length) {
  const auto begin = static_cast<int64_t>(std::ceil(std::clamp(first - 0.5, 0.0, static_cast<double>(length))));
  const auto end = static_cast<int64_t>(std::ceil(std::clamp(last - 0.5, 0.0, static_cast<double>(length))));
  return {begin, std::max(begin, end)};
}

}  // namespace

double overlap(const Box& a, const Box& b) {
  const double both = area({std::max(a.edge[0], b.edge[0]), std::max(a.edge[1], b.edge[1]),
                            std::min(a.edge[2], b.edge[2]), std::min(a.edge[3], b.edge[3])});
  const double either = area(a.edge) + area(b.edge) - both;
  return either > 0 ? both / either : 0;
}

std::vector<Box> merged(const std::vector<Box>& boxes, double threshold) {
  std::vector<std::vector<Box>> groups;
  for (const auto& box : boxes) {
    const auto group = std::ranges::find_if(groups, [&](const auto& known) {
      return known.front().finding == box.finding && overlap(known.front(), box) >= threshold;
    });
    if (group == groups.end()) {
      groups.push_back({box});
    } else {
      group->push_back(box);
    }
  }
  std::vector<Box> means;
  for (const auto& group : groups) means.push_back(mean(group));
  return means;
}

torch::Tensor drawn(const std::vector<Box>& boxes, int64_t rows, int64_t columns) {
  torch::Tensor labels = torch::zeros({1, rows, columns}, torch::kInt16);
  for (const auto& box : boxes) {
    const auto across = pixels_between(box.edge[0], box.edge[2], columns);
    const auto down = pixels_between(box.edge[1], box.edge[3], rows);
    labels.slice(1, down[0], down[1]).slice(2, across[0], across[1]).bitwise_or_(int64_t{1} << box.finding);
  }
  return labels;
}

std::string to_text(const std::vector<Box>& boxes) {
  std::string text;
  for (const auto& [finding, edge] : boxes)
    text += fmt::format("{} {} {} {} {};", finding, edge[0], edge[1], edge[2], edge[3]);
  return text;
}

std::vector<Box> boxes_from_text(const std::string& text) {
  std::vector<Box> boxes;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line, ';');) {
    std::istringstream in(line);
    Box box;
    in >> box.finding >> box.edge[0] >> box.edge[1] >> box.edge[2] >> box.edge[3];
    IVORY_CHECK(in, "'", line, "' is no box, expected \"FINDING LEFT TOP RIGHT BOTTOM\"");
    boxes.push_back(box);
  }
  return boxes;
}

}  // namespace ivory::ingest
