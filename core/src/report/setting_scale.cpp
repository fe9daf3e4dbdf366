#include "report/setting_scale.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>

namespace ivory::experiment {
namespace {

std::optional<double> number_of(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return {};
  return value;
}

constexpr double wide = 30;  // from this ratio on, logarithms

}  // namespace

SettingScale::SettingScale(const std::vector<std::string>& values) {
  std::vector<double> numbers;
  for (const auto& value : values) {
    if (std::find(values_.begin(), values_.end(), value) == values_.end()) values_.push_back(value);
  }
  std::map<std::string, double> parsed;
  for (const auto& value : values_) {
    if (const auto number = number_of(value)) parsed[value] = *number;
  }
  if (parsed.size() < values_.size() || values_.size() < 2) {
    for (size_t i = 0; i < values_.size(); ++i) {
      places_.push_back(values_.size() < 2 ? 0.5 : static_cast<double>(i) / static_cast<double>(values_.size() - 1));
    }
    return;
  }
  std::stable_sort(values_.begin(), values_.end(), [&](const auto& a, const auto& b) { return parsed[a] < parsed[b]; });
  double low = parsed[values_.front()], high = parsed[values_.back()];
  const bool logarithmic = low > 0 && high / low > wide;
  const auto scaled = [&](double value) { return logarithmic ? std::log(value) : value; };
  low = scaled(low);
  high = scaled(high);
  for (const auto& value : values_) places_.push_back(high > low ? (scaled(parsed[value]) - low) / (high - low) : 0.5);
}

size_t SettingScale::index(const std::string& value) const {
  return static_cast<size_t>(std::find(values_.begin(), values_.end(), value) - values_.begin());
}

std::vector<Setting> settings_of(const std::string& sweep_point) {
  std::vector<Setting> settings;
  size_t begin = 0, depth = 0;
  bool quoted = false;
  const auto add = [&](size_t end) {
    const std::string part = sweep_point.substr(begin, end - begin);
    const size_t equals = part.find('=');
    if (equals != std::string::npos) settings.emplace_back(part.substr(0, equals), part.substr(equals + 1));
  };
  for (size_t i = 0; i < sweep_point.size(); ++i) {
    const char c = sweep_point[i];
    if (quoted && c == '\\') {
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == '[' || c == '{')) {
      ++depth;
    } else if (!quoted && (c == ']' || c == '}')) {
      depth -= depth > 0;
    } else if (!quoted && depth == 0 && c == ',') {
      add(i);
      begin = i + 2;
    }
  }
  if (begin < sweep_point.size()) add(sweep_point.size());
  return settings;
}

}  // namespace ivory::experiment
