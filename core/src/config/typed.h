#pragma once
// Nodes as C++ values: whether a node has a type, and what the type is called in error texts.

#include <array>
#include <string>
#include <vector>

#include "config/node.h"

namespace ivory::config {

// 1, 0.5, 1e-06: without the ".0" that TOML needs.
std::string shortest(double value);

template <class T>
bool typed_scalar(const Node& node, T& value) {
  const T* found = std::get_if<T>(&node.value);
  if (found) value = *found;
  return found;
}
inline bool typed(const Node& node, bool& value) {
  return typed_scalar(node, value);
}
inline bool typed(const Node& node, int64_t& value) {
  return typed_scalar(node, value);
}
inline bool typed(const Node& node, std::string& value) {
  return typed_scalar(node, value);
}
// An integer is taken for a real.
inline bool typed(const Node& node, double& value) {
  int64_t integer = 0;
  if (!typed(node, integer)) return typed_scalar(node, value);
  value = static_cast<double>(integer);
  return true;
}
template <class T>
bool typed(const Node& node, std::vector<T>& values) {
  const List* items = node.list();
  if (!items) return false;
  values.clear();
  for (const auto& item : *items) {
    T value{};
    if (!typed(item, value)) return false;
    values.push_back(std::move(value));
  }
  return true;
}
template <class T, size_t N>
bool typed(const Node& node, std::array<T, N>& values) {
  std::vector<T> list;
  if (!typed(node, list) || list.size() != N) return false;
  std::copy(list.begin(), list.end(), values.begin());
  return true;
}

inline std::string plural_text(bool) {
  return "booleans";
}
inline std::string plural_text(int64_t) {
  return "integers";
}
inline std::string plural_text(double) {
  return "numbers";
}
inline std::string plural_text(const std::string&) {
  return "texts";
}
inline std::string type_text(bool) {
  return "true or false";
}
inline std::string type_text(int64_t) {
  return "an integer";
}
inline std::string type_text(double) {
  return "a number";
}
inline std::string type_text(const std::string&) {
  return "text";
}
template <class T>
std::string type_text(const std::vector<T>&) {
  return "a list of " + plural_text(T{});
}
template <class T, size_t N>
std::string type_text(const std::array<T, N>&) {
  return "a list of " + std::to_string(N) + " " + plural_text(T{});
}

}  // namespace ivory::config
