#pragma once
// TensorBoard's event file: TFRecord framing (length, masked CRC-32C, data, masked CRC-32C) around protobuf messages.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace ivory::train {

class EventFile {
 public:
  // A new events.out.tfevents.<seconds>.<host> in the folder.
  explicit EventFile(const std::filesystem::path& folder);
  void scalar(const std::string& tag, double value, int64_t step, double wall_time);
  void flush() { out_.flush(); }

 private:
  void record(const std::string& event);

  std::ofstream out_;
};

uint32_t crc32c(const std::string& data);

}  // namespace ivory::train
