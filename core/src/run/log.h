#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

namespace ivory::experiment {

// The logger "ivory", which is also spdlog's default: plain lines on the console, lines with time and level in `file`
// (appended, flushed line by line). Call it again to change the file.
void open_log(const std::filesystem::path& file);
// The console alone, for tools without a run directory, and for the processes of a run that are not the first (their
// lines begin with their rank).
void open_console_log(int64_t rank = 0);

// The last line of a log that is not empty; "" without one.
std::string last_line(const std::filesystem::path& log);

}  // namespace ivory::experiment
