#include "weights/zip_directory.h"

#include <ivory/error.h>

#include <algorithm>
#include <fstream>
#include <string_view>

namespace ivory::train {
namespace {

constexpr uint64_t longest_end = 22 + 65535;  // of the end record: itself and a comment
constexpr uint64_t longest_directory = 1 << 28;
constexpr uint64_t longest_early_record = 4096;
constexpr uint64_t in_extra = 0xFFFFFFFF;  // the value stands in the zip64 field

uint64_t number(std::string_view bytes, size_t at, size_t width) {  // little-endian; 0 beyond the end
  uint64_t value = 0;
  for (size_t i = 0; i < width && at + i < bytes.size(); ++i)
    value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[at + i])) << (8 * i);
  return value;
}

class Directory {
 public:
  Directory(const std::filesystem::path& file, const std::string& where)
      : where_(where), in_(file, std::ios::binary), size_(std::filesystem::file_size(file)) {}

  // All entries, one after the other.
  std::string read() {
    const uint64_t tail = std::min(size_, longest_end);
    const std::string end = part(size_ - tail, tail);
    const size_t at = end.rfind("PK\x05\x06");
    if (at == std::string::npos || end.size() - at < 22) damaged();
    uint64_t bytes = number(end, at + 12, 4), begin = number(end, at + 16, 4);
    const uint64_t place = size_ - tail + at;
    const std::string locator = place >= 20 ? part(place - 20, 20) : "";
    if (locator.starts_with("PK\x06\x07")) {
      const std::string wide = part(number(locator, 8, 8), 56);
      if (!wide.starts_with("PK\x06\x06")) damaged();
      bytes = number(wide, 40, 8), begin = number(wide, 48, 8);
    }
    if (bytes > longest_directory) damaged();
    return part(begin, bytes);
  }

  [[noreturn]] void damaged() const { throw bad_request(where_, "it is a damaged or truncated zip archive"); }

 private:
  std::string part(uint64_t begin, uint64_t bytes) {
    if (begin > size_ || bytes > size_ - begin) damaged();
    std::string text(bytes, '\0');
    in_.seekg(static_cast<std::streamoff>(begin));
    in_.read(text.data(), static_cast<std::streamsize>(bytes));
    if (!in_) damaged();
    return text;
  }

  const std::string& where_;
  std::ifstream in_;
  uint64_t size_;
};

// Bytes of a record once unpacked.
uint64_t claim(std::string_view entry, std::string_view extra) {
  const uint64_t bytes = number(entry, 24, 4);
  if (bytes != in_extra) return bytes;
  while (extra.size() >= 4) {
    const size_t length = std::min<size_t>(number(extra, 2, 2), extra.size() - 4);
    if (number(extra, 0, 2) == 1) return number(extra.substr(0, 4 + length), 4, 8);
    extra.remove_prefix(4 + length);
  }
  return bytes;
}

}  // namespace

void check_zip_directory(const std::filesystem::path& file, const std::string& where) {
  Directory directory(file, where);
  const std::string entries = directory.read();
  for (std::string_view rest = entries; !rest.empty();) {
    const uint64_t name_bytes = number(rest, 28, 2), extra_bytes = number(rest, 30, 2);
    const uint64_t bytes = 46 + name_bytes + extra_bytes + number(rest, 32, 2);
    if (!rest.starts_with("PK\x01\x02") || bytes > rest.size()) directory.damaged();
    const std::string_view name = rest.substr(46, name_bytes);
    const uint64_t claimed = claim(rest, rest.substr(46 + name_bytes, extra_bytes));
    const bool early = name.ends_with("version") || name.ends_with("serialization_id");
    IVORY_CHECK(!early || claimed <= longest_early_record, where, "record '", name.substr(name.rfind('/') + 1),
                "' claims ", claimed, " bytes, expected a few: the archive is damaged or made to fill the memory");
    rest.remove_prefix(bytes);
  }
}

}  // namespace ivory::train
