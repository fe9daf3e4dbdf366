#include "ingest/orientation.h"

#include <algorithm>

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
