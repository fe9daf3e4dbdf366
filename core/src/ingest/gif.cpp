#include "ingest/gif.h"

#include <ivory/error.h>

#include <array>
#include <cmath>
#include <fstream>

namespace ivory::ingest {
namespace {

// Bytes of the file, read forwards.
class Bytes {
 public:
  explicit Bytes(const std::filesystem::path& file) : name_(file.string()) {
    std::ifstream in(file, std::ios::binary);
    if (!in) throw missing_data(name_, ": cannot be read");
    data_.assign(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  uint8_t byte() {
    IVORY_CHECK(at_ < data_.size(), name_, ": is truncated, the picture goes on past the file's ", data_.size(),
                " bytes");
    return static_cast<uint8_t>(data_[at_++]);
  }
  int64_t word() {
    const int64_t low = byte();
    return low | (int64_t{byte()} << 8);
  }
  std::string text(size_t length) {
    std::string text;
    while (text.size() < length) text += static_cast<char>(byte());
    return text;
  }
  // Sub-blocks up to the empty one.
  std::string blocks() {
    std::string all;
    while (const uint8_t length = byte()) all += text(length);
    return all;
  }
  const std::string& name() const { return name_; }

 private:
  std::string name_, data_;
  size_t at_ = 0;
};

using Palette = std::array<uint8_t, 256>;

Palette read_palette(Bytes& bytes, int bits) {
  Palette grey{};
  for (int i = 0; i < 1 << bits; ++i) {
    const double red = bytes.byte(), green = bytes.byte(), blue = bytes.byte();
    grey[static_cast<size_t>(i)] = static_cast<uint8_t>(std::lround(0.299 * red + 0.587 * green + 0.114 * blue));
  }
  return grey;
}

// Variable-length codes, lowest bit first.
class Codes {
 public:
  explicit Codes(const std::string& data) : data_(data) {}
  // −1 at the end.
  int next(int width) {
    while (held_ < width) {
      if (at_ == data_.size()) return -1;
      bits_ |= static_cast<uint32_t>(static_cast<uint8_t>(data_[at_++])) << held_;
      held_ += 8;
    }
    const int code = static_cast<int>(bits_ & ((1U << width) - 1));
    bits_ >>= width;
    held_ -= width;
    return code;
  }

 private:
  const std::string& data_;
  size_t at_ = 0;
  uint32_t bits_ = 0;
  int held_ = 0;
};

// LZW: a code stands for the string of another code and one more byte.
std::string inflate(const std::string& data, int literal_bits, size_t size, const std::string& name) {
  const int clear = 1 << literal_bits, end = clear + 1;
  std::vector<std::string> strings;
  const auto reset = [&] {
    strings.assign(static_cast<size_t>(end) + 1, "");
    for (int i = 0; i < clear; ++i) strings[static_cast<size_t>(i)] = std::string(1, static_cast<char>(i));
  };
  reset();
  Codes codes(data);
  std::string out, last;
  int width = literal_bits + 1;
  for (int code = codes.next(width); code >= 0 && code != end && out.size() < size; code = codes.next(width)) {
    if (code == clear) {
      reset();
      last.clear();
      width = literal_bits + 1;
      continue;
    }
    const auto known = static_cast<size_t>(code) < strings.size();
    IVORY_CHECK(known || (static_cast<size_t>(code) == strings.size() && !last.empty()), name,
                ": is damaged, its compressed pixels use a code that was not made yet");
    const std::string here = known ? strings[static_cast<size_t>(code)] : last + last[0];
    out += here;
    if (!last.empty() && strings.size() < 4096) strings.push_back(last + here[0]);
    if (strings.size() == size_t{1} << width && width < 12) ++width;
    last = here;
  }
  IVORY_CHECK(out.size() >= size, name, ": is truncated, ", out.size(), " of ", size, " pixels are there");
  return out;
}

// Rows of an interlaced picture, in the order in which they are stored.
std::vector<int64_t> row_order(int64_t rows, bool interlaced) {
  std::vector<int64_t> order;
  constexpr std::array<std::array<int64_t, 2>, 4> passes = {{{0, 8}, {4, 8}, {2, 4}, {1, 2}}};
  for (const auto& [first, step] : passes) {
    for (int64_t row = first; interlaced && row < rows; row += step) order.push_back(row);
  }
  for (int64_t row = 0; !interlaced && row < rows; ++row) order.push_back(row);
  return order;
}

torch::Tensor read_picture(Bytes& bytes, Palette palette, int64_t columns, int64_t rows) {
  const int64_t left = bytes.word(), top = bytes.word(), width = bytes.word(), height = bytes.word();
  IVORY_CHECK(left == 0 && top == 0 && width == columns && height == rows, bytes.name(), ": its picture of ", width,
              " × ", height, " pixels does not cover its canvas of ", columns, " × ", rows);
  const uint8_t flags = bytes.byte();
  if (flags & 0x80) palette = read_palette(bytes, (flags & 7) + 1);
  const int literal_bits = bytes.byte();
  IVORY_CHECK(literal_bits >= 2 && literal_bits <= 8, bytes.name(), ": is damaged, its codes begin with ", literal_bits,
              " bits");
  const std::string pixels = inflate(bytes.blocks(), literal_bits, static_cast<size_t>(rows * columns), bytes.name());
  torch::Tensor grey = torch::empty({1, rows, columns}, torch::kUInt8);
  auto out = grey.accessor<uint8_t, 3>();
  size_t at = 0;
  for (const int64_t row : row_order(rows, (flags & 0x40) != 0)) {
    for (int64_t column = 0; column < columns; ++column)
      out[0][row][column] = palette[static_cast<uint8_t>(pixels[at++])];
  }
  return grey;
}

}  // namespace

torch::Tensor read_gif(const std::filesystem::path& file) {
  Bytes bytes(file);
  IVORY_CHECK(bytes.text(3) == "GIF", file.string(), ": is no GIF");
  bytes.text(3);  // 87a, 89a
  const int64_t columns = bytes.word(), rows = bytes.word();
  IVORY_CHECK(columns > 0 && rows > 0, file.string(), ": its canvas is ", columns, " × ", rows, " pixels");
  const uint8_t flags = bytes.byte();
  bytes.text(2);  // background, aspect ratio
  Palette palette{};
  if (flags & 0x80) palette = read_palette(bytes, (flags & 7) + 1);
  for (uint8_t kind = bytes.byte(); kind != 0x2C; kind = bytes.byte()) {
    IVORY_CHECK(kind == 0x21, file.string(), ": holds no picture");
    bytes.byte();
    bytes.blocks();
  }
  return read_picture(bytes, palette, columns, rows);
}

}  // namespace ivory::ingest
