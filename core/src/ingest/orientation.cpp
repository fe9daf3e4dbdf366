#include "ingest/orientation.h"

#include <algorithm>
#include <charconv>

namespace ivory::ingest {

int exif_orientation(std::span<const uint8_t> block) {
  const auto byte = [&](size_t at) -> uint32_t { return at < block.size() ? block[at] : 0; };
  const bool big = byte(0) == 'M';
  const auto word = [&](size_t at) { return big ? byte(at) << 8 | byte(at + 1) : byte(at + 1) << 8 | byte(at); };
  const auto two_words = [&](size_t at) { return big ? word(at) << 16 | word(at + 2) : word(at + 2) << 16 | word(at); };
  if (block.size() < 14 || byte(0) != byte(1) || (!big && byte(0) != 'I') || word(2) != 42) return 1;
  const size_t directory = two_words(4);
  constexpr uint32_t orientation = 0x0112;
  constexpr size_t entry = 12;
  for (size_t i = 0; i < word(directory); ++i) {
    const size_t at = directory + 2 + i * entry;
    if (at + entry > block.size()) return 1;
    if (word(at) != orientation) continue;
    const uint32_t value = word(at + 8);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

int xmp_orientation(std::string_view packet) {
  constexpr std::string_view name = "tiff:Orientation";
  for (size_t at = packet.find(name); at != std::string_view::npos; at = packet.find(name, at + 1)) {
    const size_t digit = packet.find_first_not_of(" \t\r\n=\"'>", at + name.size());
    if (digit == std::string_view::npos || packet[digit] < '1' || packet[digit] > '8') continue;
    const bool ends =
        digit + 1 < packet.size() && std::string_view("\"'< \t\r\n").find(packet[digit + 1]) != std::string_view::npos;
    if (ends && digit > at + name.size()) return packet[digit] - '0';
  }
  return 1;
}

int raw_profile_orientation(std::string_view text) {
  std::vector<uint8_t> block;
  size_t at = text.find_first_not_of(" \n");
  for (int line = 0; line < 2 && at != std::string_view::npos; ++line) {  // "exif", the number of bytes
    at = text.find('\n', at);
    at = at == std::string_view::npos ? at : text.find_first_not_of(" \n", at);
  }
  for (; at < text.size(); at = text.find_first_not_of(" \n", at + 2)) {
    uint8_t byte = 0;
    const std::string_view digits = text.substr(at, 2);
    if (std::from_chars(digits.begin(), digits.end(), byte, 16).ptr != digits.end()) break;
    block.push_back(byte);
  }
  constexpr std::string_view begin("Exif\0\0", 6);
  const bool marked = block.size() > begin.size() && std::equal(begin.begin(), begin.end(), block.begin());
  return exif_orientation(std::span(block).subspan(marked ? begin.size() : 0));
}

bool is_turned(int orientation) {
  return orientation >= 5;
}

torch::Tensor upright(const torch::Tensor& pixels, int orientation) {
  if (orientation <= 1 || orientation > 8) return pixels;
  torch::Tensor bytes = pixels.contiguous().view(torch::kUInt8);  // torch does not flip unsigned words
  bytes = bytes.view({pixels.size(0), pixels.size(1), pixels.size(2), -1});
  const auto is = [&](std::initializer_list<int> some) { return std::ranges::find(some, orientation) != some.end(); };
  std::vector<int64_t> flipped;
  if (is({3, 4, 6, 7})) flipped.push_back(1);
  if (is({2, 3, 7, 8})) flipped.push_back(2);
  if (!flipped.empty()) bytes = bytes.flip(flipped);
  return (is_turned(orientation) ? bytes.transpose(1, 2) : bytes).contiguous().view(pixels.scalar_type());
}

}  // namespace ivory::ingest
