#pragma once
#include <filesystem>

namespace ivory::experiment {

// The logger "ivory", which is also spdlog's default: plain lines on the console, lines with time and level in `file`
// (appended, flushed line by line). Call it again to change the file.
void open_log(const std::filesystem::path& file);
// The console alone, for tools without a run directory.
void open_console_log();

}  // namespace ivory::experiment
