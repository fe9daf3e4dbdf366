#pragma once
// Writers of small TIFF and JPEG files, by hand, so that what is in them is known to the bit.

#include "ingest/picture_files.h"

namespace ivory::ingest::testing {

struct TiffOptions {
  bool big_endian = false;
  uint16_t meaning = 1;  // photometric interpretation: 0 white is 0, 1 black is 0, 2 RGB, 3 indices of a palette
  uint32_t dpi = 0;
  std::string description = "";
};

// Pages, each a directory, then what does not fit into it, then the pixels: a file that is cut anywhere lacks
// something.
class TiffWriter {
 public:
  using Entry = std::array<uint32_t, 4>;  // tag, type (3: 2 bytes, 4: 4 bytes, 5: a ratio), count, each value

  explicit TiffWriter(const TiffOptions& options) : options_(options) {
    bytes_ = std::string(options.big_endian ? "MM\0*" : "II*\0", 4) + std::string(4, '\0');
  }

  // [rows, columns] or [rows, columns, channels]; `others` replace the entries of their tags. What the file is to hold
  // instead of these pixels is `stored`: compressed, packed into bits, or tiles of one size, of which tag 324 says it.
  void add(const torch::Tensor& pixels, const std::vector<Entry>& others = {}, const std::string& stored = "") {
    bytes_.resize((bytes_.size() + 1) / 2 * 2, '\0');
    const auto entries = entries_of(pixels, others, stored);
    const size_t rest_at = bytes_.size() + 2 + 12 * entries.size() + 4,
                 pixels_at = rest_at + 64 + options_.description.size() + 1;
    std::string rest;
    bytes_.replace(next_, 4, number(bytes_.size(), 4));
    bytes_ += number(entries.size(), 2);
    for (const auto& [tag, type, count, value] : entries) {
      std::string values;
      const bool places = tag == 273 || tag == 324;
      for (uint32_t i = 0; i < count; ++i)
        values += number(places ? pixels_at + size_t{i} * value : value, type == 3 ? 2 : 4);
      if (type == 5) values += number(1, 4);
      if (type == 2) values = options_.description + '\0';
      const std::string place = number(rest_at + rest.size(), 4);
      if (values.size() > 4) rest += values;
      bytes_ += number(tag, 2) + number(type, 2) + number(count, 4);
      bytes_ += values.size() > 4 ? place : values + std::string(4 - values.size(), '\0');
    }
    next_ = bytes_.size();
    bytes_ += std::string(4, '\0') + rest;
    bytes_.resize(pixels_at, '\0');
    std::string data = raw_bytes(pixels);
    const auto size = static_cast<std::ptrdiff_t>(pixels.element_size());
    for (auto at = data.begin(); options_.big_endian && at != data.end(); at += size) std::reverse(at, at + size);
    bytes_ += stored.empty() ? data : stored;
  }

  const std::string& bytes() const { return bytes_; }

 private:
  std::vector<Entry> entries_of(const torch::Tensor& pixels, const std::vector<Entry>& others,
                                const std::string& stored) const {
    const auto rows = static_cast<uint32_t>(pixels.size(0)), columns = static_cast<uint32_t>(pixels.size(1));
    const auto channels = static_cast<uint32_t>(pixels.dim() == 3 ? pixels.size(2) : 1);
    const uint32_t format = pixels.is_floating_point() ? 3 : c10::isSignedType(pixels.scalar_type()) ? 2 : 1;
    std::vector<Entry> entries = {{256, 4, 1, columns},
                                  {257, 4, 1, rows},
                                  {258, 3, channels, static_cast<uint32_t>(8 * pixels.element_size())},
                                  {259, 3, 1, 1},
                                  {262, 3, 1, options_.meaning},
                                  {273, 4, 1, 0},
                                  {277, 3, 1, channels},
                                  {278, 4, 1, rows},
                                  {279, 4, 1, static_cast<uint32_t>(stored.empty() ? pixels.nbytes() : stored.size())}};
    if (!options_.description.empty())
      entries.push_back({270, 2, static_cast<uint32_t>(options_.description.size()) + 1, 0});
    if (options_.dpi > 0) entries.insert(entries.end(), {{282, 5, 1, options_.dpi}, {283, 5, 1, options_.dpi}});
    if (channels % 2 == 0) entries.push_back({338, 3, 1, 2});  // the last channel is alpha
    entries.push_back({339, 3, channels, format});
    for (const Entry& other : others) {
      // Tiles have no strips.
      std::erase_if(entries, [&](const Entry& e) {
        return e[0] == other[0] || (other[0] == 324 && (e[0] == 273 || e[0] == 278 || e[0] == 279));
      });
      entries.push_back(other);
    }
    std::sort(entries.begin(), entries.end());
    return entries;
  }

  std::string number(uint64_t value, int size) const {
    std::string bytes;
    for (int i = 0; i < size; ++i) bytes += static_cast<char>((value >> (8 * i)) & 0xFF);
    if (options_.big_endian) std::reverse(bytes.begin(), bytes.end());
    return bytes;
  }

  TiffOptions options_;
  std::string bytes_;
  size_t next_ = 4;  // where the place of the next directory is to be written
};

inline std::string tiff_bytes(const std::vector<torch::Tensor>& pages, const TiffOptions& options = {}) {
  TiffWriter writer(options);
  for (const torch::Tensor& page : pages) writer.add(page);
  return writer.bytes();
}

// Bits, highest first, with the zero that JPEG wants after a byte of ones.
class JpegBits {
 public:
  void put(uint32_t value, int count) {
    for (int bit = count - 1; bit >= 0; --bit) {
      held_ = held_ << 1 | ((value >> bit) & 1);
      if (++used_ < 8) continue;
      bytes_ += static_cast<char>(held_);
      if (held_ == 0xFF) bytes_ += '\0';
      used_ = held_ = 0;
    }
  }
  std::string finished() {
    while (used_ != 0) put(1, 1);
    return bytes_;
  }

 private:
  std::string bytes_;
  uint32_t held_ = 0;
  int used_ = 0;
};

inline std::string jpeg_segment(char kind, const std::string& data) {
  return std::string("\xFF") + kind + big_endian(static_cast<uint32_t>(data.size() + 2)).substr(2) + data;
}

// A baseline JPEG of flat blocks of 8 × 8 pixels: uint8 [blocks down, blocks across] of grey, or of Y, Cb and Cr. A
// flat block is its first coefficient alone, 8 times (value − 128), so that no rounding comes between.
inline std::string jpeg_bytes(const std::vector<torch::Tensor>& planes, const std::string& segments = "") {
  const auto word = [](int64_t value) { return big_endian(static_cast<uint32_t>(value)).substr(2); };
  const auto count = static_cast<char>(planes.size());
  std::string header = "\x08" + word(8 * planes[0].size(0)) + word(8 * planes[0].size(1)) + count;
  std::string scan(1, count);
  for (char i = 1; i <= count; ++i) {
    header += {i, '\x11', '\0'};
    scan += {i, '\0'};
  }
  const std::string lengths_of_categories = std::string("\0\0\0\x0C", 4) + std::string(12, '\0');  // 12 codes of 4 bits
  const std::string one_short_code = std::string("\1", 1) + std::string(15, '\0');
  std::string categories;
  for (char i = 0; i < 12; ++i) categories += i;

  JpegBits bits;
  std::vector<int> before(planes.size(), 0);
  for (int64_t block = 0; block < planes[0].numel(); ++block) {
    for (size_t i = 0; i < planes.size(); ++i) {
      const int value = planes[i].contiguous().view({-1})[block].item<int>() - 128, step = value - before[i];
      const int length = std::bit_width(static_cast<uint32_t>(std::abs(step)));
      bits.put(static_cast<uint32_t>(length), 4);
      bits.put(static_cast<uint32_t>(step > 0 ? step : step + (1 << length) - 1), length);
      bits.put(0, 1);  // no other coefficient
      before[i] = value;
    }
  }
  return "\xFF\xD8" + segments + jpeg_segment('\xDB', std::string(1, '\0') + std::string(64, '\x08')) +
         jpeg_segment('\xC0', header) +
         jpeg_segment('\xC4', std::string(1, '\0') + lengths_of_categories + categories) +
         jpeg_segment('\xC4', "\x10" + one_short_code + std::string(1, '\0')) +
         jpeg_segment('\xDA', scan + std::string("\0\x3F\0", 3)) + bits.finished() + "\xFF\xD9";
}

}  // namespace ivory::ingest::testing
