#include "ingest/dicom_length.h"

#include <ivory/error.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t undefined = 0xFFFFFFFF;  // length of what ends with a delimiter
constexpr uint32_t item = 0xFFFEE000, item_end = 0xFFFEE00D, sequence_end = 0xFFFEE0DD;  // group << 16 | element
constexpr uint32_t syntax = 0x00020010, samples = 0x00280002, frames = 0x00280008, rows = 0x00280010;
constexpr uint32_t columns = 0x00280011, bits = 0x00280100, photometric = 0x00280004;
constexpr uint32_t pixels = 0x7FE00010, floats = 0x7FE00008, doubles = 0x7FE00009;
constexpr int deepest = 16;

struct Element {
  uint32_t tag = 0, length = 0;
};

class Walk {
 public:
  explicit Walk(const fs::path& file) : name_(file.string()), in_(file, std::ios::binary), end_(fs::file_size(file)) {}

  void run() {
    in_.seekg(128);
    if (text(4) != "DICM") return;
    while (const auto element = next()) {
      if (element->tag == pixels || element->tag == floats || element->tag == doubles) return check(*element);
      if (element->length == undefined) {
        if (!skip_items(0)) return;
      } else if (!keep(*element)) {
        return;
      }
    }
  }

 private:
  uint64_t left() { return end_ - std::min<uint64_t>(end_, static_cast<uint64_t>(in_.tellg())); }
  std::string text(size_t bytes) {
    std::string value(bytes, '\0');
    in_.read(value.data(), static_cast<std::streamsize>(bytes));
    return value;
  }
  uint32_t number(size_t bytes) {
    const std::string value = text(bytes);
    uint32_t sum = 0;
    for (size_t i = 0; i < bytes; ++i) sum = sum << 8 | static_cast<uint8_t>(value[big_endian_ ? i : bytes - 1 - i]);
    return sum;
  }

  // Nothing at the end of the file and where no element begins.
  std::optional<Element> next() {
    Element element;
    if (left() < 8) return std::nullopt;
    const auto at = in_.tellg();
    element.tag = number(2) << 16;
    element.tag |= number(2);
    if (in_meta_ && element.tag >> 16 != 2) {
      begin_data_set();
      in_.seekg(at);
      return deflated_ ? std::nullopt : next();
    }
    if (element.tag >> 16 == 0xFFFE || (implicit_ && !in_meta_)) {
      element.length = number(4);
    } else {
      const std::string type = text(2);
      if (type[0] < 'A' || type[0] > 'Z' || type[1] < 'A' || type[1] > 'Z') return std::nullopt;
      constexpr std::array wide = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"};
      const bool is_wide = std::ranges::find(wide, type) != wide.end();
      if (is_wide) in_.seekg(2, std::ios::cur);
      element.length = number(is_wide ? 4 : 2);
    }
    return in_ ? std::optional(element) : std::nullopt;
  }

  void begin_data_set() {
    in_meta_ = false;
    const std::string& uid = syntax_;
    implicit_ = uid == "1.2.840.10008.1.2";
    big_endian_ = uid == "1.2.840.10008.1.2.2";
    deflated_ = uid == "1.2.840.10008.1.2.1.99";
  }

  // Reads what check() needs to know, passes over the rest; false where the file ends before.
  bool keep(const Element& element) {
    if (left() < element.length) return false;
    const auto after = in_.tellg() + static_cast<std::streamoff>(element.length);
    if (element.tag == syntax) {
      syntax_ = text(element.length);
      syntax_.erase(std::find_if(syntax_.begin(), syntax_.end(), [](char c) { return c == '\0' || c == ' '; }),
                    syntax_.end());
    } else if (element.tag == photometric) {
      halved_ = text(element.length).starts_with("YBR_FULL_422");
    } else if (element.tag == frames) {
      known_[frames] = static_cast<uint32_t>(std::strtoul(text(element.length).c_str(), nullptr, 10));
    } else if (element.length == 2 && element.tag >> 16 == 0x0028) {
      known_[element.tag] = number(2);
    }
    in_.seekg(after);
    return static_cast<bool>(in_);
  }

  // Over the items of a sequence without a length.
  bool skip_items(int depth) {
    if (depth > deepest) return false;
    while (const auto element = next()) {
      if (element->tag == sequence_end || element->tag == item_end) return true;
      if (element->length == undefined) {
        if (!skip_items(depth + 1)) return false;
      } else {
        if (left() < element->length) return false;
        in_.seekg(static_cast<std::streamoff>(element->length), std::ios::cur);
      }
    }
    return false;
  }

  void check(const Element& element) {
    if (element.length == undefined) return check_fragments();
    IVORY_CHECK(left() >= element.length, name_, ": is truncated, its pixel data are ", element.length,
                " bytes according to the header, expected as many, got ", left());
    const uint64_t width = element.tag == floats ? 32 : element.tag == doubles ? 64 : known(bits);
    const uint64_t values = halved_ ? 2 : known_or_one(samples);  // two pixels may share their chrominance
    const uint64_t plane = known(rows) * known(columns) * values * width, count = known_or_one(frames);
    const uint64_t expected = (plane * count + 7) / 8;
    IVORY_CHECK(element.length >= expected, name_, ": holds ", element.length, " bytes of pixel data, expected ",
                expected, " for ", known(rows), " x ", known(columns), " pixels of ", width, " bits");
    IVORY_CHECK(expected == 0 || element.length < expected + (plane + 7) / 8, name_, ": holds ", element.length,
                " bytes of pixel data, expected ", expected, " for ", count, count == 1 ? " frame" : " frames",
                "; is its number of frames right?");
  }

  // Compressed: pieces with a length each, then a delimiter. The first one is a table of offsets.
  void check_fragments() {
    bool ended = true;
    for (int64_t piece = 0; const auto fragment = next(); ++piece) {
      if (fragment->tag == sequence_end) {
        IVORY_CHECK(ended || !ends_with_marker(), name_, ": is truncated, its compressed pixel data have no end");
        return;
      }
      if (fragment->tag != item) return;  // damaged: the decoder says how
      IVORY_CHECK(left() >= fragment->length, name_, ": is truncated, a piece of its compressed pixel data is ",
                  fragment->length, " bytes according to the header, expected as many, got ", left());
      const bool found = has_end(fragment->length);
      if (piece > 0) ended = found;
    }
    throw bad_request(name_, ": is truncated, its compressed pixel data have no end");
  }

  // Streams of JPEG, JPEG-LS and JPEG 2000 end with the marker FF D9; padding may follow. Passes over the piece.
  bool has_end(uint32_t length) {
    constexpr uint32_t most = 64;
    in_.seekg(static_cast<std::streamoff>(length - std::min(length, most)), std::ios::cur);
    return text(std::min(length, most)).find("\xFF\xD9") != std::string::npos;
  }
  bool ends_with_marker() const {
    constexpr std::string_view jpeg = "1.2.840.10008.1.2.4.";
    const int number = syntax_.starts_with(jpeg) ? std::atoi(syntax_.c_str() + jpeg.size()) : 0;
    return number >= 50 && number < 100;
  }

  uint64_t known(uint32_t tag) const {
    const auto found = known_.find(tag);
    return found == known_.end() ? 0 : found->second;
  }
  uint64_t known_or_one(uint32_t tag) const { return std::max<uint64_t>(1, known(tag)); }

  std::string name_;
  std::ifstream in_;
  uint64_t end_;
  bool in_meta_ = true, implicit_ = false, big_endian_ = false, deflated_ = false;
  bool halved_ = false;
  std::string syntax_;
  std::map<uint32_t, uint32_t> known_;
};

}  // namespace

void check_dicom_start(const fs::path& file) {
  std::string start(144, '\0');  // preamble, "DICM", the element (0002,0000): the length of the first group
  std::ifstream in(file, std::ios::binary);
  in.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<size_t>(in.gcount()));
  if (start.size() < 132 || start.compare(128, 4, "DICM") != 0) return;
  uint32_t group = 0;
  if (start.size() == 144 && start.compare(132, 8, std::string("\2\0\0\0UL\4\0", 8)) == 0)
    std::memcpy(&group, &start[140], sizeof group);
  IVORY_CHECK(fs::file_size(file) > 144 + uint64_t{group}, file.string(), ": is truncated in its first group");
}

void check_dicom_pixels(const fs::path& file) {
  Walk(file).run();
}

}  // namespace ivory::ingest
