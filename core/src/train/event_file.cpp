#include "train/event_file.h"

#include <array>
#include <chrono>

#include "base/lock.h"

namespace ivory::train {
namespace {

// Field numbers of tensorflow/core/util/event.proto and framework/summary.proto.
enum Event : int { wall_time = 1, step_number = 2, file_version = 3, summary = 5 };
enum Summary : int { value = 1 };
enum Value : int { tag_name = 1, simple_value = 2 };
enum Wire : int { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

void put_varint(std::string& out, uint64_t number) {
  for (; number >= 0x80; number >>= 7) out += static_cast<char>(number | 0x80);
  out += static_cast<char>(number);
}

void put_key(std::string& out, int field, Wire wire) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | wire);
}

template <class T>
void put_fixed(std::string& out, T number) {
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
}

void put_bytes(std::string& out, int field, const std::string& data) {
  put_key(out, field, Wire::bytes);
  put_varint(out, data.size());
  out += data;
}

uint32_t masked_crc(const std::string& data) {
  const uint32_t crc = crc32c(data);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
}

std::string begin_event(double time, int64_t step) {
  std::string event;
  put_key(event, Event::wall_time, Wire::fixed64);
  put_fixed(event, time);
  put_key(event, Event::step_number, Wire::varint);
  put_varint(event, static_cast<uint64_t>(step));
  return event;
}

std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? 0x82f63b78U ^ (crc >> 1) : crc >> 1;
    table[i] = crc;
  }
  return table;
}

}  // namespace

uint32_t crc32c(const std::string& data) {
  static const std::array<uint32_t, 256> table = crc_table();
  uint32_t crc = ~0U;
  for (const char c : data) crc = table[(crc ^ static_cast<unsigned char>(c)) & 255] ^ (crc >> 8);
  return ~crc;
}

EventFile::EventFile(const std::filesystem::path& folder) {
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const std::string name = "events.out.tfevents." + std::to_string(static_cast<int64_t>(now)) + "." + base::host_name();
  out_.open(folder / name, std::ios::binary | std::ios::trunc);
  std::string event = begin_event(now, 0);
  put_bytes(event, Event::file_version, "brain.Event:2");
  record(event);
}

void EventFile::scalar(const std::string& tag, double number, int64_t step, double time) {
  std::string entry;
  put_bytes(entry, Value::tag_name, tag);
  put_key(entry, Value::simple_value, Wire::fixed32);
  put_fixed(entry, static_cast<float>(number));
  std::string list;
  put_bytes(list, Summary::value, entry);
  std::string event = begin_event(time, step);
  put_bytes(event, Event::summary, list);
  record(event);
}

void EventFile::record(const std::string& event) {
  std::string length;
  put_fixed(length, static_cast<uint64_t>(event.size()));
  std::string frame = length;
  put_fixed(frame, masked_crc(length));
  frame += event;
  put_fixed(frame, masked_crc(event));
  out_.write(frame.data(), static_cast<std::streamsize>(frame.size()));
}

}  // namespace ivory::train
