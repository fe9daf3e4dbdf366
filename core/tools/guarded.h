#pragma once
// What every main does: one sentence per error, the right exit code, nothing thrown out of main.

#include <functional>

namespace ivory::tools {

int guarded(const std::function<int()>& body);

}  // namespace ivory::tools
