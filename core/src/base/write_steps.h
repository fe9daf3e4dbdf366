#pragma once
// A place for tests to look at durable writes, and to let one fail in the middle.

#include <filesystem>
#include <functional>

namespace ivory::base {

enum class WriteStep {
  renamed,  // the file has its name, which a power failure may still take away
  durable,  // its folder has been flushed, too
};

// Called after each step of a durable write with the file's name, on the thread that writes; what it throws ends the
// write there. Empty outside tests.
std::function<void(WriteStep, const std::filesystem::path&)>& write_observer();

}  // namespace ivory::base
